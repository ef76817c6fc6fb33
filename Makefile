# Everything this repository can do. Developers, README and CI call the same targets; a second run does only what
# changed. PYTHON=python3.12 takes another interpreter (3.11 or newer), ARGS="..." adds flags to `make run`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
NODE := tests/sdk/node
PIP := -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# Stamps stand inside what they vouch for: whoever removes an environment removes its stamp.
VENV := .venv/.made
RUNTIME := .venv/.runtime
DEVELOPMENT := .venv/.development
NODE_SDK := $(NODE)/node_modules/.installed
PYTHON_SDK := .venv-sdk/.installed

.PHONY: help run test lint typecheck unit sdk fuzz crash bench lock clean test-tools

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUNTIME) ## Install what is missing and run the server (Ctrl-C stops it)
	@exec $(BIN)/idscope serve $(ARGS)

test: test-tools $(DEVELOPMENT) $(NODE_SDK) $(PYTHON_SDK) lint typecheck ## Install what is missing and run every check and test
	$(BIN)/pytest
	scripts/check-package $(BIN)/python

lint: $(DEVELOPMENT) ## Check format, style and the layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-logo

typecheck: $(DEVELOPMENT) ## Check the types, those of tests and benchmarks too
	$(BIN)/mypy
	@find tests -name conftest.py -o -name sitecustomize.py | xargs -n 1 $(BIN)/mypy --no-error-summary

unit: $(DEVELOPMENT) ## Run the tests that need no server and no SDK
	$(BIN)/pytest tests/unit tests/contract

sdk: test-tools $(DEVELOPMENT) $(NODE_SDK) $(PYTHON_SDK) ## Drive the server with Microsoft's SDKs
	$(BIN)/pytest tests/sdk

fuzz: test-tools $(DEVELOPMENT) ## New random examples, and a million mutated inputs for each protocol machine (COUNT=, SEED=)
	HYPOTHESIS_PROFILE=random $(BIN)/pytest tests/unit tests/contract tests/protocol tests/server
	for machine in mqtt websocket amqp; do \
		PYTHONPATH=tests/captures:tests/protocol/websocket $(BIN)/python tests/protocol/$$machine/fuzz_$$machine.py $${SEED:-$$RANDOM} $${COUNT:-1000000}; \
	done

crash: test-tools $(DEVELOPMENT) ## Kill servers during writes, many times
	IDSCOPE_CRASH_ROUNDS=$${IDSCOPE_CRASH_ROUNDS:-100} $(BIN)/pytest tests/crash --timeout 3600

bench: $(DEVELOPMENT) ## Measure beside nginx and mosquitto on this machine
	@scripts/system-packages compiler nginx mosquitto openssl
	$(BIN)/python -m bench

lock: $(DEVELOPMENT) ## Resolve the locked dependencies again (UPGRADE=1: to the newest)
	$(COMPILE) $(if $(UPGRADE),--upgrade) -o requirements.lock pyproject.toml
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra development -c requirements.lock \
		-o requirements-development.lock pyproject.toml

clean: ## Remove everything that was installed or made, but no data
	rm -rf .venv .venv-sdk $(NODE)/node_modules build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

test-tools:
	@PYTHON=$(PYTHON) scripts/system-packages venv compiler headers node nginx mosquitto openssl tpm

$(VENV):
	@PYTHON=$(PYTHON) scripts/system-packages venv
	$(PYTHON) -m venv .venv
	@touch $@

# The AMQP engine comes as source only, so everybody needs the compiler.
$(RUNTIME): $(VENV) requirements.lock pyproject.toml src/idscope/__init__.py
	@PYTHON=$(PYTHON) scripts/system-packages compiler headers
	@echo "installing idscope (the first time, its AMQP engine is compiled: about half a minute) ..."
	@$(BIN)/python $(PIP) install --require-hashes -r requirements.lock
	@$(BIN)/python $(PIP) install --no-deps --editable .
	@touch $@

$(DEVELOPMENT): $(RUNTIME) requirements-development.lock
	@echo "installing the tools of the tests ..."
	@$(BIN)/python $(PIP) install --require-hashes -r requirements-development.lock
	@touch $@

$(NODE_SDK): $(NODE)/package-lock.json $(NODE)/package.json
	@echo "installing Microsoft's SDKs for Node ..."
	@cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(PYTHON_SDK): tests/sdk/requirements.txt $(VENV)
	@echo "installing Microsoft's SDKs for Python ..."
	@$(PYTHON) -m venv .venv-sdk
	@.venv-sdk/bin/python $(PIP) install -r tests/sdk/requirements.txt
	@touch $@
