#!/usr/bin/env bash
# See that there is Debian's chromium for the tests that look at pages; without it they are skipped, and say so.
set -euo pipefail

if [ ! -x /usr/bin/chromium ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium for the tests ..."
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium) >/dev/null || true
fi
if [ ! -x /usr/bin/chromium ]; then
    echo "There is no /usr/bin/chromium: the tests that look at pages will be skipped." >&2
fi
