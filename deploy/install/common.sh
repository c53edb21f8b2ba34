# Helpers of the installation scripts; sourced, not run.

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
        "${apt[@]}" update && (cd "$work/deb" && "${apt[@]}" "$@" >/dev/null) || { rm -rf "$work"; return 1; }
    fi
    for deb in "$work"/deb/*.deb "$work"/cache/archives/*.deb; do
        if [ -e "$deb" ]; then dpkg-deb --extract "$deb" "$into"; fi
    done
    rm -rf "$work"
}
