#!/bin/sh
# Fetches the engine from the npm registry that the npm client is set up for, and keeps it only if it is what SHA256SUMS says.
# With a new version: change the number here, run `sh fetch.sh --trust`, look at what changed, run the tests, commit.
set -eu
version=3.6.2
cd "$(dirname "$0")"
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "quickjs-wasi@$version" >/dev/null && tar xzf ./*.tgz)
cd "$work/package"
if [ "${1-}" = --trust ]; then
	sha256sum quickjs.wasm LICENSE >"$here/SHA256SUMS"
fi
sha256sum --check --strict "$here/SHA256SUMS"
cp quickjs.wasm LICENSE "$here"
chmod 644 "$here/quickjs.wasm" "$here/LICENSE"
