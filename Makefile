# Everything is done from here; `make help` prints these lines.
# It needs Python 3.11 or newer and make, nothing else.
# Requirements name every package with its hash, so pip resolves nothing (--no-deps): older ones look beside the pins
# for a package that is wanted both with and without an extra, and refuse what they find.

PYTHON ?= python3
BIN := .venv/bin
TIPOFF := $(BIN)/tipoff
# Tests beside each other, one per core; NPROC=0 for one after the other.
NPROC ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check format bench soak emulators bqemulator browser test-emulators lock clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: .venv/ready ## make .venv with every pinned package

# Checked first, because an old Python fails much later and says something else.
.venv/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tipoff needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 setup"; exit 1; }
	@echo "setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

demo: setup ## run two synthetic sample days and grade what was predicted
	@$(TIPOFF) demo

test: setup ## pass the tests
	@$(BIN)/python -m pytest -q -n $(NPROC) --dist worksteal

quick: setup ## the tests that are not slow: about eight minutes
	@$(BIN)/python -m pytest -q -n $(NPROC) --dist worksteal -m "not slow"

check: setup ## format, lint, types, house rules, declared pipelines
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/house
	@$(TIPOFF) config check

format: setup ## put the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## measure; docs/benchmarks.md says what and why
	@$(TIPOFF) bench

soak: setup bqemulator ## 10,000 simulated days, 20 stormy ones on emulators, 500 deployments, by hand, about an hour; SEED=n
	@$(TIPOFF) simulate --days 10000 --seed $${SEED:-1}
	@$(TIPOFF) simulate --days 1000 --seed $${SEED:-1} --world-days 50
	@$(BIN)/python -m tests.flow.deployments --count 500 --seed $${SEED:-1}
	@$(BIN)/python -m tests.flow.storm --days 20 --seed $${SEED:-1}

emulators: setup bqemulator ## run Google's emulators on free ports, say how to reach them; Ctrl-C stops them
	@$(BIN)/python -m orchestration.emulators

EMULATED := $(addprefix tests/flow/test_,emulators.py staging.py stack.py stormy_days.py repairs.py bench_emulators.py bigquery_night.py deploy.py deployments.py)

# Two test processes at most: each starts its own emulators, 650 MB together.
test-emulators: setup bqemulator ## the tests that need emulators; without one they fail
	@REQUIRE_EMULATORS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/contract $(EMULATED)

# Playwright's own browsers are never downloaded: it drives one that is there.
browser: ## a Chromium for the tests of the dashboard, where there is none (as root)
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else echo "install a Chromium, as root: apt-get install chromium"; exit 1; fi

bqemulator: build/bqemulator/ready ## the BigQuery emulator in a .venv of its own (520 MB)

# Its DuckDB would download the extension into HOME; requirements/bqemulator.in says why it lies in a package.
build/bqemulator/ready: requirements/bqemulator.txt
	@echo "setting up build/bqemulator (once, about a minute)"
	@$(PYTHON) -m venv build/bqemulator
	@build/bqemulator/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bqemulator.txt
	@folder=build/bqemulator/home/.duckdb/extensions/$$(build/bqemulator/bin/python -c \
	  'import duckdb; print("v" + duckdb.__version__, *duckdb.sql("PRAGMA platform").fetchone(), sep="/")') && mkdir -p $$folder && \
	  cp build/bqemulator/lib/python3*/site-packages/duckdb_extension_spatial/extensions/*/*.duckdb_extension $$folder
	@touch $@

lock: ## pin requirements anew, with hashes
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet pip-tools==7.6.2
	@for set in functions dev bqemulator; do CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --generate-hashes \
	  --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options \
	  --output-file requirements/$$set.txt requirements/$$set.in; done

clean: ## remove .venv and caches; never a home
	@rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis
