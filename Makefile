# The only door. `make` prints the targets.
.DEFAULT_GOAL := help
.PHONY: help run analyst test check fmt lint types arch unit contract integration e2e chaos contracts breaking bench mutants soak stack-test ci clean lock

SHELL := /bin/bash
BIN := .venv/bin
# Where it is set, each of the twenty processes of a stack would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# The first interpreter that really runs and is new enough; a version manager's shim may be neither.
FIND_PYTHON := for p in "$$PYTHON" python3.12 python3.13 python3.14 python3 python; do \
	[ -n "$$p" ] && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && { command -v "$$p"; break; }; done
PYTEST := $(BIN)/pytest -q
# With a folder of its own, which is kept if a test fails: two runs at once do not touch each other.
APART = folder="$$(mktemp -d)" && $(PYTEST) --basetemp="$$folder/tests" $(1) && rm -rf "$$folder"
# Lanes that run side by side, the longest first, speak one after the other where nobody watches.
LANES = -j2 $(shell [ -t 2 ] || echo --output-sync=recurse)
QUICK := unit types fmt lint arch

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

analyst: .venv/run  ## install what `oms export --format parquet` and docs/analysts.md need
	@$(INSTALL) $(PINNED) requirements/analyst.txt

run: .venv/run  ## start everything; the first time with the demo chain and 200 orders; stay up
	@$(BIN)/oms up --demo-orders $(or $(ORDERS),200)

test: .venv/dev  ## every check and every test (15 minutes of CPU, on two cores)
	@$(MAKE) --no-print-directory $(LANES) $(QUICK) contract breaking
	@$(MAKE) --no-print-directory $(LANES) stack-test integration e2e chaos

check: .venv/dev  ## format, lint, types, architecture, unit (three quarters of a minute on two cores)
	@$(MAKE) --no-print-directory $(LANES) $(QUICK)

fmt: .venv/dev
	@$(BIN)/ruff format --check .
lint: .venv/dev
	@$(BIN)/ruff check .
types: .venv/dev
	@$(BIN)/mypy
arch: .venv/dev
	@PYTHONPATH=.:contracts/gen $(BIN)/lint-imports
unit: .venv/dev
	@$(PYTEST) -n auto tests/unit --doctest-modules services/kernel/domain
contract: .venv/dev
	@$(PYTEST) tests/contract
integration: .venv/dev
	@$(call APART,tests/integration)
e2e: .venv/dev
	@$(call APART,tests/e2e -m "not soak")
chaos: .venv/dev
	@$(call APART,tests/chaos -m "not soak")

stack-test: .venv/dev  ## every journey on the whole system as processes on a Kafka broker
	@$(call APART,tests/stack -m "not soak")

contracts: .venv/dev  ## generate code, AsyncAPI document and feed pages from the contracts, and lint them
	@bash contracts/generate.sh
	@PYTHONPATH=.:contracts/gen $(BIN)/python -m contracts.describe
	@bash contracts/buf.sh lint

breaking: .venv/dev
	@bash contracts/buf.sh lint
	@bash contracts/buf.sh breaking
	@bash contracts/asyncapi.sh
	@bash contracts/generate.sh --check

bench: .venv/dev  ## measure, as JSON lines (ONLY=append runs one metric)
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

mutants: .venv/dev  ## plant known bugs in a copy and see each caught (ONLY=relay plants those)
	@PYTHONPATH=.:contracts/gen $(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

soak: .venv/dev  ## the long campaigns: all baskets, twenty kills, a hundred deaths of the ledger, an hour's mixed load
	@mkdir -p reports && $(PYTEST) -m soak --timeout 7200 -s tests/e2e tests/chaos tests/stack

ci: test

lock: .venv/dev  ## compile the pinned requirements anew
	@cd requirements && ../$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.12 --no-header dev.in -o dev.txt
	@cd requirements && ../$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.12 --no-header run.in -c dev.txt -o run.txt
	@cd requirements && ../$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.12 --no-header analyst.in -c dev.txt -o analyst.txt

clean:  ## stop nothing, remove what was installed and the demo's data
	@rm -rf .venv .oms .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache reports build ./*.egg-info

INSTALL = $(BIN)/python requirements/install.py
# What the twenty processes of a stack import is compiled here; the rest when it is first used.
PINNED = --require-hashes --only-binary :all: -r

.venv/bin/python:
	@python="$$($(FIND_PYTHON))"; [ -n "$$python" ] || { \
		echo "So'OMS needs Python 3.12 or newer and finds none. Install it, for example with"; \
		echo "  apt-get install python3.12-venv   |   brew install python@3.12   |   uv python install 3.12"; \
		echo "or name one: make run PYTHON=/path/to/python3"; exit 1; }; \
	echo "making .venv with $$python"; "$$python" -m venv .venv

.venv/run: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "installing what it runs on (once)"
	@UV_COMPILE_BYTECODE=1 $(INSTALL) $(PINNED) requirements/run.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements/dev.txt .venv/run
	@echo "installing what it is tested with (once)"
	@PIP_NO_COMPILE=1 $(INSTALL) $(PINNED) requirements/dev.txt
	@touch $@
