#!/usr/bin/env bash
# install.sh PART FOLDER: one part of Serin in a virtual environment of its own, with the versions and digests of
# constraints.txt: `controller`, `serving`, `gate`, which is what a pipeline runs, or `local`, all that `serin up` runs but
# Prometheus. Run while an image is built, in a pipeline, or by hand; what installed it is not left in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/install/common.sh

PART=$1
VENV=$2
case $PART in
controller) WANTED=base,postgresql,kubernetes ;;
serving) WANTED=serving,tracing,jwt ;;
gate) WANTED=base,serving ;;
local) WANTED=base,serving,local ;;
*) give_up "$PART: no part of Serin" "name controller, serving, gate or local" ;;
esac

python3 -m venv "$VENV"
export PYTHON=$VENV/bin/python
PIP=("$PYTHON" -m pip --disable-pip-version-check --no-input --no-cache-dir --quiet)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
pins pip setuptools >"$WORK/tools.txt"
requirements "$WANTED" >"$WORK/wanted.txt"
"${PIP[@]}" install --require-hashes --only-binary :all: --requirement "$WORK/tools.txt"
"${PIP[@]}" install --constraint constraints.txt --only-binary :all: --requirement "$WORK/wanted.txt"
"${PIP[@]}" install --no-deps --no-build-isolation .
# `serin` is the controller's: it does not come with a replica alone.
if [ "$PART" = serving ]; then rm "$VENV/bin/serin"; fi
"${PIP[@]}" uninstall --yes setuptools pip
