#!/usr/bin/env bash
# sbom.sh PYTHON FILE [OPTION...]: what is installed for this interpreter, as CycloneDX 1.6 in JSON; the same for the same
# packages. With more options of cyclonedx-py.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$(dirname "$2")"
cyclonedx-py environment --spec-version 1.6 --output-format JSON --output-reproducible --pyproject pyproject.toml \
    --output-file "$2" "${@:3}" "$1"
