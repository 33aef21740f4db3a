#!/bin/sh
# Builds the fixtures and writes DIGESTS. Needs wat2wasm (package wabt).
set -eu
cd "$(dirname "$0")"
for source in *.wat; do
  wat2wasm -o "${source%.wat}.wasm" "$source"
done
chmod 644 *.wasm
sha256sum ./*.wat ./*.wasm | sed 's, \./, ,' > DIGESTS
