#!/usr/bin/env bash
# Install what `make bench-serving` compares Serin with, into a virtual environment of its own (4 GB on disk): in
# build/bench/rivals, or where SERIN_RIVALS says. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/../../.."

into=${SERIN_RIVALS:-build/bench/rivals}
[ -x "$into/bin/python" ] || .venv/bin/python -m venv "$into"
pip=("$into/bin/python" -m pip install --disable-pip-version-check --no-input --quiet)
"${pip[@]}" "$(grep '^torch==' tests/bench/rivals/requirements.txt)"
"${pip[@]}" --requirement tests/bench/rivals/requirements.txt
echo "rivals are ready in $into"
