#!/usr/bin/env bash
# Resolve the dependencies anew and write them down with hashes and without addresses: `make requirements`.
set -euo pipefail
cd "$(dirname "$0")/.."
export="uv export -q --frozen --no-emit-project --no-header --no-annotate"
.venv/bin/uv lock -q ${UPGRADE:+--upgrade}
.venv/bin/$export --all-extras --all-groups >requirements/dev.txt
.venv/bin/$export --extra server --extra embedded --no-default-groups --group build >requirements/run.txt
! grep -n '://' requirements/*.txt
