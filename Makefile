# Every task of the project; `make help` lists them. Tools run plainly out of .venv, which is made
# on demand from the hash-locked requirements: nothing that is not locked is ever fetched.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python that is new enough; `make PYTHON=/path/to/python …` chooses another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo "$$name"; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV ?= $(shell if [ -x $(BIN)/uv ]; then echo $(BIN)/uv; else echo uv; fi)
ARGS ?=
SEEDS ?= 500
SECONDS_FUZZ ?= 3600
TRANSFERS ?= 1000000
QUEUED ?= 100000

.PHONY: help baseline demo dev gen format lint types test sim fuzz chaos chaos-long chaos-away golden bench docs test-peers lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## run the federation on this machine; ARGS="--once --json" ends with a summary
	@$(BIN)/lubiao demo $(ARGS)

dev: $(VENV)/.dev ## install everything that development needs into .venv

gen: $(VENV)/.dev ## generate code from proto/
	@$(BIN)/python proto/generate.py

baseline: $(VENV)/.dev ## write proto/baseline/ anew, after an addition to a stable package
	@$(BIN)/python proto/baseline.py --write

format: $(VENV)/.dev ## write Python and protos in the one format
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write proto

lint: $(VENV)/.dev ## format check, lint, import contracts, protos, freshness of generated code
	@$(BIN)/python -m tests.stages lint

types: $(VENV)/.dev ## mypy --strict
	@$(BIN)/python -m tests.stages types

test: ## install, then every check and test; prints seconds per stage and the slowest test
	@start=$$SECONDS; $(MAKE) dev; \
	$(BIN)/python -m tests.stages --installed-in $$((SECONDS - start))

sim: $(VENV)/.dev ## simulate custody and delivery: SEEDS=500, or one run with SEED=17
	@$(BIN)/python -m tests.simulation.run $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

fuzz: $(VENV)/.dev ## fuzz whatever reads a peer's bytes: SECONDS_FUZZ=3600; findings are kept as tests
	@$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS_FUZZ) --keep $(ARGS)

chaos: $(VENV)/.dev ## kill processes and databases at random instants, long
	@$(BIN)/python -m pytest -m "chaos or not chaos" --timeout 1800 tests/chaos $(ARGS)
	@$(BIN)/python -m pytest -m chaos --timeout 1800 tests/e2e $(ARGS)

chaos-long: $(VENV)/.dev ## a million hand-overs under torment; TRANSFERS=1000000, prints the result
	@$(BIN)/python -m tests.chaos.long --transfers $(TRANSFERS) $(ARGS)

chaos-away: $(VENV)/.dev ## a peer away for 72 hours of business time; QUEUED=100000, prints the result
	@$(BIN)/python -m tests.chaos.away --queued $(QUEUED) $(ARGS)

golden: $(VENV)/.dev ## write the golden files and the generated parts of docs/; review the diff
	@$(BIN)/python -m pytest -q -m golden --golden-update tests
	@$(BIN)/python docs/tables.py --update
	@$(BIN)/python docs/check.py --update

bench: $(VENV)/.dev ## measure against peers in the same run; ARGS="submit --json" chooses
	@$(BIN)/lubiao bench $(ARGS)

docs: $(VENV)/.dev ## check links, tables and shown help texts of README and docs/
	@$(BIN)/python docs/tables.py
	@$(BIN)/python docs/check.py

test-peers: $(VENV)/.dev ## run clients that know nothing but proto/
	@$(BIN)/python -m pytest -m peers tests $(ARGS)

lock: ## write requirements/*.txt from pyproject.toml; UPGRADE=1 takes newer releases
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		$(if $(UPGRADE),--upgrade) --extra embedded --extra aggregates --extra hub --extra rules --extra timestamps --extra tracing --group dev pyproject.toml \
		--output-file requirements/dev.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		--constraints requirements/dev.txt --extra embedded --extra aggregates --extra hub --extra rules --extra timestamps --extra tracing --group build pyproject.toml \
		--output-file requirements/demo.txt

clean: ## remove .venv and everything that was built
	@rm -rf $(VENV) .build dist

# --- installation ------------------------------------------------------------------------------
# Everything below answers on standard error: standard output belongs to what was asked for.

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: no Python >= 3.11 found; install one or run make PYTHON=/path/to/python" >&2; \
		exit 1; fi
	@$(PYTHON) -m venv $(VENV) >&2 || { rm -rf $(VENV); \
		echo "make: $(PYTHON) cannot make a virtual environment; install its venv package" \
		"(Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }

# The demonstration needs less than development; a .venv for development serves both.
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once) …" >&2
	@$(PIP) install --require-hashes --requirement requirements/demo.txt >&2
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable . >&2
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once) …" >&2
	@$(PIP) install --require-hashes --requirement requirements/dev.txt >&2
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable . >&2
	@touch $@ $(VENV)/.demo
