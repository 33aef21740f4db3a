#!/bin/sh
# Builds the fixtures and writes DIGESTS. Needs clang with wasm-ld (packages clang, lld) and wat2wasm (package wabt).
set -eu
cd "$(dirname "$0")"
for source in *.c; do
  clang --target=wasm32-unknown-unknown -O1 -nostdlib -ffreestanding -fno-builtin \
    -Wall -Wno-infinite-recursion -Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=65536 -o "${source%.c}.wasm" "$source"
done
for source in *.wat; do
  wat2wasm -o "${source%.wat}.wasm" "$source"
done
chmod 644 *.wasm
sha256sum ./*.c ./*.h ./*.wat ./*.wasm | sed 's, \./, ,' > DIGESTS
