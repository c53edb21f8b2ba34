#!/usr/bin/env bash
# Write constraints.txt anew from the versions that stand in it: with the digests of every file of each, and with what they
# need and nobody pinned. Takes minutes: pip-tools asks the index for every file. Needs `make setup`.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet 'pip-tools==7.6.2'
grep '^#' constraints.txt >"$work/head"
grep -oE '^[A-Za-z0-9_.-]+==[^ ]+' constraints.txt >"$work/pins.in"
"$work/venv/bin/pip-compile" --no-config --quiet --allow-unsafe --generate-hashes --strip-extras --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --no-emit-options --output-file "$work/pins.txt" "$work/pins.in"
{ cat "$work/head"; grep -vE '^(#|$)' "$work/pins.txt"; } >"$work/constraints.txt"
mv "$work/constraints.txt" constraints.txt
