#!/bin/sh
# Make or bring up to date the development environment: make-venv.sh PYTHON FOLDER
set -eu

python=$1
venv=$2

# Debian and Ubuntu leave ensurepip, and so `python -m venv`, to a package of its own.
has_ensurepip() {
    "$python" -c 'import ensurepip' 2>/dev/null
}

install_ensurepip() {
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    echo "venv: installing $package"
    apt-get -q update && apt-get -q install --yes --no-install-recommends "$package"
}

# Without root: the distribution's pip, unpacked, can install itself into an empty environment.
make_without_ensurepip() {
    "$python" -m venv --clear --without-pip "$venv"
    "$python" -m tools.servers.unpacked "$venv/.pip" python3-pip-whl
    wheel=$(ls "$venv"/.pip/usr/share/python-wheels/pip-*.whl)
    "$venv/bin/python" "$wheel/pip" install --quiet --no-index "$wheel"
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! has_ensurepip && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        install_ensurepip || echo "venv: that failed; trying without it" >&2
    fi
    if has_ensurepip; then
        "$python" -m venv --clear "$venv"
    elif command -v apt-get >/dev/null; then
        make_without_ensurepip
    else
        echo "venv: $python has no ensurepip: install your distribution's package for it" >&2
        exit 1
    fi
fi

set -- -e '.[test]'
for plugin in plugins/*/setup.cfg; do
    if [ -e "$plugin" ]; then
        set -- "$@" -e "${plugin%/setup.cfg}"
    fi
done
"$venv/bin/python" -m pip install --quiet "$@"
