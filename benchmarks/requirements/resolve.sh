#!/usr/bin/env bash
# Resolve what the contenders need anew and write it down with hashes and without addresses.
set -euo pipefail
cd "$(dirname "$0")"
for wanted in *.in; do
    ../../.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --upgrade "$wanted" -o "${wanted%.in}.txt"
done
! grep -n '://' ./*.txt
