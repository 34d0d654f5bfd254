# The one door: `make` lists what there is. Every step says what it does and how long it may take.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
SOURCES := agent operator deploy tests .ci

.PHONY: help venv lint format test test-fast bench generate lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make .venv from the lock file (1 to 2 min the first time)

$(STAMP): requirements/dev.txt pyproject.toml .ci/make-venv
	@.ci/make-venv

lint: $(STAMP) ## Style, types, import contracts, rules of the tree (about 30 s)
	@echo "lint: rules of the tree";        python3 -I .ci/check_tree.py
	@echo "lint: ruff";                     $(PYTHON) -m ruff check --quiet $(SOURCES)
	@                                       $(PYTHON) -m ruff format --quiet --check $(SOURCES)
	@echo "lint: mypy, strict (10 to 20 s)"; $(PYTHON) -m mypy --no-error-summary
	@                                       $(PYTHON) -m mypy --no-error-summary deploy/generate/*.py
	@echo "lint: import contracts";         said=$$(NO_COLOR=1 $(VENV)/bin/lint-imports 2>&1) || { echo "$$said"; exit 1; }

format: $(STAMP) ## Format the Python files, and mend what ruff can mend
	$(PYTHON) -m ruff format $(SOURCES)
	$(PYTHON) -m ruff check --fix $(SOURCES)

generate: $(STAMP) ## Rewrite what is generated: CRDs, deploy/install.yaml, docs/reference (seconds; builds helm first, 2 min)
	@[ -n "$${PERFPROFILE_HELM:-}" ] || $(CLUSTER) binaries chart
	@PERFPROFILE_HELM="$${PERFPROFILE_HELM:-$$($(CLUSTER) binaries --print-path)/helm}" $(PYTHON) deploy/generate

# Written by uv, so that the files are the same on every machine; `uv` comes with requirements/dev.txt.
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11
lock: $(STAMP) ## Resolve the dependencies of pyproject.toml anew into requirements/ (seconds)
	$(LOCK) pyproject.toml -o requirements/agent.txt
	$(LOCK) pyproject.toml --extra operator -o requirements/operator.txt
	$(LOCK) pyproject.toml --extra operator --group dev -o requirements/dev.txt
	$(LOCK) --group build -o requirements/build.txt

bench: $(STAMP) ## What recording and conversion cost, beside peers on the same file (root; some minutes)
	@export PYTHONPATH=tests $$(PYTHONPATH=tests $(PYTHON) -m cluster env); $(PYTHON) -m bench $(BENCH)

clean: ## Remove what make made in this folder (the virtual environment and caches)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

test-fast: $(STAMP) ## The tests that need neither root nor a cluster (under 2 min)
	@$(PYTHON) -m pytest -q -m "not root and not cluster and not slow" $(PYTEST)

test: $(STAMP) ## Every test; as root on the real test cluster (15 min the first time, some minutes later)
	@.ci/test $(PYTEST)

# demo, cluster-up, cluster-down and more: the real test cluster.
include tests/cluster/cluster.mk
