#!/usr/bin/env bash
# Make .venv for `run` or `dev`: the packages of requirements/$1.txt by their hashes, and the project itself.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=$1

find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Sluicegate needs Python 3.11 or newer, and found none on the PATH." >&2
    exit 1
}

# An interrupted run leaves a .venv with an interpreter and no pip: it is made anew.
is_whole() { .venv/bin/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

if ! is_whole; then
    python=$(find_python)
    if ! has_venv "$python" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv ..."
        # Whether it worked is asked below: the package may be there and not be this interpreter's.
        (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv) >/dev/null || true
    fi
    if ! has_venv "$python"; then
        echo "The venv module of $python is missing: install the package python3-venv, then run this again." >&2
        exit 1
    fi
    echo "Making .venv with $("$python" --version) ..."
    rm -f .venv/*.stamp
    "$python" -m venv --clear .venv
fi
echo "Installing requirements/$wanted.txt ..."
# The file names everything that is needed, so pip is not asked to resolve: some versions of it look past a pin for
# a package with extras, and fail on the day when a newer one comes out.
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "requirements/$wanted.txt"
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
.venv/bin/python -m pip check --disable-pip-version-check -q
touch ".venv/$wanted.stamp"
if [ "$wanted" = dev ]; then touch .venv/run.stamp; fi
