# Helpers of the installation scripts; sourced, not run.
# shellcheck shell=bash

say() { printf '• %s\n' "$*"; }

# One line that says what is missing, one that says the way out.
give_up() {
    printf 'serin: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}

# fetch_deb PACKAGE DIRECTORY: unpack a Debian package into a directory of ours. apt checks its signature as always, but
# nothing is installed: that needs no root, runs none of the package's scripts, and so starts no system service.
fetch_deb() { _unpack "$2" download "$1"; }

# fetch_debs PACKAGE DIRECTORY: the same with all that the package needs and this machine has not installed.
fetch_debs() { _unpack "$2" --download-only --no-install-recommends --yes -o Debug::NoLocking=1 install "$1"; }

# _unpack DIRECTORY APT-ARGUMENT...: what apt brings with these arguments, unpacked.
_unpack() {
    local into=$1 work deb
    shift
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    work=$(mktemp -d)
    local apt=(apt-get --quiet --quiet -o APT::Sandbox::User="$(id -un)" -o Dir::Cache="$work/cache")
    mkdir -p "$work/cache/archives/partial" "$work/lists/partial" "$work/deb" "$into"
    if ! (cd "$work/deb" && "${apt[@]}" "$@") >/dev/null 2>&1; then
        # The machine's package lists are missing or older than the mirror: read fresh ones, for us alone.
        apt+=(-o Dir::State::Lists="$work/lists")
        if ! { "${apt[@]}" update && (cd "$work/deb" && "${apt[@]}" "$@" >/dev/null); }; then
            rm -rf "$work"
            return 1
        fi
    fi
    for deb in "$work"/deb/*.deb "$work"/cache/archives/*.deb; do
        if [ -e "$deb" ]; then dpkg-deb --extract "$deb" "$into"; fi
    done
    rm -rf "$work"
}

# requirements PARTS: what pip is asked for, as pyproject.toml has it: of `base` and of extras, separated by commas. By the
# interpreter that PYTHON names.
requirements() {
    "$PYTHON" - "$1" <<'SCRIPT'
import sys, tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
parts = {"base": project["dependencies"], **project["optional-dependencies"]}
print(*(one for name in sys.argv[1].split(",") for one in parts[name]), sep="\n")
SCRIPT
}

# pins PACKAGE...: the lines of constraints.txt for these packages.
pins() {
    awk -v names="$*" 'BEGIN { split(names, list, " "); for (i in list) wanted[list[i]] = 1 }
        /^[A-Za-z0-9]/ { split($0, parts, "=="); take = parts[1] in wanted } take' constraints.txt
}
