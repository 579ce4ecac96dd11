# Every task of the project. `make` or `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
BIN := .venv/bin
T ?=
export PYTHONPATH := .:protos
export GRPC_VERBOSITY ?= ERROR

CONTRACTS := $(shell find protos/guanhu -name '*.proto' 2>/dev/null)

.PHONY: help setup protos lint format breaking test bench fault interop cover migrate run reset lock clean

help: ## Lists the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.make/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed and '$(PYTHON)' was not found: install it, or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed and '$(PYTHON)' is older: name another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: on Debian, install python3-venv" >&2; exit 1; }
	@mkdir -p .make && touch $@

.make/run-env: .make/python requirements/run.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing what the bank runs (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.make/dev-env: .make/run-env requirements/dev.txt
	@echo "installing what building and testing need (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.make/browser: .make/dev-env
	@$(BIN)/python deploy/browser.py
	@touch $@

.make/protos: .make/run-env deploy/generate.py $(CONTRACTS)
	@$(BIN)/python deploy/generate.py .make/contract.binpb
	@touch $@

setup: .make/dev-env .make/browser .make/protos ## Makes the virtual environment with pinned packages, a browser for tests, and the contracts' modules.

protos: .make/protos ## Generates the contracts' modules; does nothing when no contract changed.

lint: .make/dev-env .make/protos ## Checks style, types, direction of imports, contracts and migrations.
	@$(BIN)/ruff format --check --quiet . || { echo "run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/buf lint .make/contract.binpb
	@$(MAKE) --no-print-directory breaking
	@$(BIN)/python deploy/lint_migrations.py

format: .make/dev-env ## Formats the code.
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix --exit-zero .

breaking: .make/dev-env .make/protos ## Compares the contracts with the last release.
	@$(BIN)/python deploy/breaking.py

test: setup lint ## Runs everything that must be green; T=path runs a part.
	@$(BIN)/python -m pytest $(if $(T),$(T),-n 2 --dist loadfile tests)

bench: .make/dev-env .make/protos ## Measures: T=name; prints one JSON object as its last line.
	@$(BIN)/python -m tests.measure bench "$(T)"

fault: .make/dev-env .make/protos ## Kills and counts: T=name; prints one JSON object as its last line.
	@$(BIN)/python -m tests.measure fault "$(T)"

interop: .make/dev-env .make/protos ## Puts our SMPP client to other libraries: T=name of one; prints one JSON object as its last line.
	@$(BIN)/python -m tests.interop "$(T)"

cover: setup ## Runs the tests under coverage; fails under 100.
	@$(BIN)/coverage run -m pytest tests
	@$(BIN)/coverage report

migrate: .make/protos ## Brings the four databases of this machine's state to the newest form.
	@$(BIN)/python deploy/local.py migrate

run: .make/run-env .make/protos ## Starts the whole bank on this machine and shows where; Ctrl-C stops it.
	@exec $(BIN)/python deploy/local.py run

reset: .make/run-env ## Wipes the data of this machine's bank.
	@$(BIN)/python deploy/local.py reset

lock: .make/dev-env ## Pins the packages of requirements/*.in anew, with hashes.
	@for name in run dev; do $(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links requirements/$$name.in -o requirements/$$name.txt; done

clean: ## Removes generated files, stamps and caches; keeps the data.
	@find protos -name '*_pb2*' -delete; rm -rf protos/buf .make .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
