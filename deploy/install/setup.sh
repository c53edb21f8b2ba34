#!/usr/bin/env bash
# Make .venv hold all that the demo and the tests need. Safe to run again; `make setup` runs it when it has to.
# With a version of torch as its argument, make .venv-export hold what the tests of the export need, beside the former.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/install/common.sh

VENV=.venv
EXTRAS=serving,tracing,batch,local,postgresql,kubernetes,dev,deploy
TORCH=${1:-}
if [ -n "$TORCH" ]; then
    VENV=.venv-export
    EXTRAS=serving,local,dev,export
fi

# The newest interpreter that works (a name on PATH may be a shim that does not), of those known to have every wheel.
find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    give_up "Python 3.11 or newer is needed, and none is on PATH" \
        "on Debian 12 or newer, or Ubuntu 24.04 or newer: sudo apt-get install python3"
}

make_venv() {
    local python
    python=$(find_python)
    say "creating $VENV with $("$python" --version) ($python)"
    "$python" -m venv --clear --without-pip "$VENV"
    if "$VENV/bin/python" -c 'import ensurepip' 2>/dev/null; then
        "$VENV/bin/python" -m ensurepip --default-pip >/dev/null
        return
    fi
    # Debian keeps pip out of its Python; its wheel is a package of its own.
    local unpacked=$VENV/debian-pip
    fetch_deb python3-pip-whl "$unpacked" ||
        give_up "this Python comes without pip (no ensurepip)" "on Debian or Ubuntu: sudo apt-get install python3-venv"
    "$VENV/bin/python" "$(echo "$unpacked"/usr/share/python-wheels/pip-*.whl)/pip" install --quiet pip
    rm -rf "$unpacked"
}

# Wheels only, each held against the digests of constraints.txt: nothing is built, and nothing else gets in. The project
# itself has no digest, so it is linked afterwards, by the setuptools that was just verified.
install_python_packages() {
    say "installing Python packages, versions and digests of constraints.txt (a minute or two the first time)"
    local pip=("$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --progress-bar on)
    "${pip[@]}" --require-hashes --only-binary :all: --requirement <(pins pip setuptools)
    # torch comes in builds of its own for each platform, without a digest here; give pip the index of yours.
    if [ -n "$TORCH" ]; then "${pip[@]}" --no-deps --only-binary :all: "torch==$TORCH"; fi
    PYTHON=$VENV/bin/python requirements "base,$EXTRAS" >"$VENV/requirements.txt"
    "${pip[@]}" --constraint constraints.txt --only-binary :all: --requirement "$VENV/requirements.txt"
    PYTHONWARNINGS=ignore "${pip[@]}" --no-deps --no-build-isolation --editable .  # setuptools warns of any such link
}

install_prometheus() {
    local program
    export PATH=$PWD/$VENV/bin:$PATH
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
    say "unpacking Debian's package prometheus into $VENV (no root needed, no service started)"
    fetch_deb prometheus "$VENV/prometheus" ||
        give_up "prometheus and promtool are not on PATH, and apt could not fetch them" \
            "put both on PATH: on Debian or Ubuntu 'sudo apt-get install prometheus', elsewhere from prometheus.io/download"
    for program in prometheus promtool; do
        ln -sf "../prometheus/usr/bin/$program" "$VENV/bin/$program"
    done
    "$VENV/bin/prometheus" --version >/dev/null 2>&1 ||
        give_up "the unpacked $VENV/bin/prometheus does not run here" "install Prometheus 2.40 or newer and put it on PATH"
}

# Whom `serin up` has alerts told by, where there is one; amtool checks its configuration.
install_alertmanager() {
    local alertmanager=$VENV/alertmanager
    if [ -L "$VENV/bin/alertmanager" ]; then rm "$VENV/bin/alertmanager"; fi  # without its templates, of an older setup
    if [ -n "$TORCH" ] || has_alertmanager; then return; fi
    say "unpacking Debian's package prometheus-alertmanager into $VENV (no root needed, no service started)"
    if fetch_deb prometheus-alertmanager "$alertmanager"; then
        show_templates "$PWD/$alertmanager/usr" >"$VENV/bin/alertmanager"
        chmod +x "$VENV/bin/alertmanager"
        ln -sf ../alertmanager/usr/bin/amtool "$VENV/bin/amtool"
    fi
    has_alertmanager && return
    rm -f "$VENV/bin/alertmanager"
    say "no Alertmanager could be had: alerts are evaluated and nobody is told of them, and their" \
        "tests will be skipped (on Debian or Ubuntu: sudo apt-get install prometheus-alertmanager)"
}

# Debian's Alertmanager reads its templates in /usr/share and nowhere else. This shows them to it there, and to nobody else;
# where the kernel does not allow that, it ends.
show_templates() {
    cat <<SH
#!/bin/sh
exec unshare --map-root-user --mount sh -c '
    mount -t overlay overlay -o "lowerdir=\$0/share:/usr/share" /usr/share && exec "\$0/bin/prometheus-alertmanager" "\$@"
' '$1' "\$@"
SH
}

has_alertmanager() {
    { alertmanager --version || prometheus-alertmanager --version; } >/dev/null 2>&1 && amtool --version >/dev/null 2>&1
}

# The server that the tests of the store on PostgreSQL start for themselves; nothing else here needs one.
install_postgresql() {
    local programs=$VENV/postgresql
    if [ -n "$TORCH" ] || has_postgresql; then return; fi
    say "unpacking Debian's package postgresql into $VENV (no root needed, no service started)"
    if ! fetch_debs postgresql "$programs" || ! has_postgresql; then
        rm -rf "$programs"
        say "no PostgreSQL server could be had: tests of the store on it will be skipped" \
            "(on Debian or Ubuntu: sudo apt-get install postgresql, then make setup again)"
    fi
}

# Whether tests/postgres_support.py will find one.
has_postgresql() {
    local program
    for program in "$VENV"/postgresql/usr/lib/postgresql/*/bin/postgres /usr/lib/postgresql/*/bin/postgres \
        "$(command -v postgres || true)"; do
        if [ -x "$program" ] && LD_LIBRARY_PATH=$(echo "$VENV"/postgresql/usr/lib/*-linux-gnu) \
            "$program" --version >/dev/null 2>&1; then return; fi
    done
    return 1
}

"$VENV/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
install_python_packages
install_prometheus
install_alertmanager
install_postgresql
say "ready"
