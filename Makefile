# The words a newcomer needs. `make` alone lists them.

PYTHON ?=
VENV   ?= .venv
PORT   ?= 8080
DATA   ?= ./var
# A file or folder that `make serve` loads first, e.g. `make serve LOAD=deploy/demo.yaml`.
LOAD   ?=

# Variables of the demo, e.g. `make demo SECONDS=60 SEED=7 FAULTS=all`; without SECONDS it runs until Ctrl-C.
SECONDS ?=
# QUIET=1: nobody comes, and you have the machines and the cloud for yourself.
QUIET   ?=
SEED    ?=
FAULTS  ?=

BIN := $(VENV)/bin
RUN_EXTRAS  := edge,cloud,sim
TEST_EXTRAS := edge,cloud,sim,dev
INSTALL := PYTHON='$(PYTHON)' scripts/install '$(VENV)'

.DEFAULT_GOAL := help
.PHONY: help demo serve test check fuzz bench clean tools
# A step that fails must not leave a stamp behind, or the next run would believe it.
.DELETE_ON_ERROR:

help: ## list these words
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The test environment holds everything that the demo needs, so either stamp serves the demo.
$(VENV)/.run-installed: pyproject.toml constraints.txt scripts/install
	@$(INSTALL) $(RUN_EXTRAS)
	@touch $@

$(VENV)/.test-installed: pyproject.toml constraints.txt scripts/install
	@$(INSTALL) $(TEST_EXTRAS)
	@touch $@ $(VENV)/.run-installed

demo: $(VENV)/.run-installed ## simulated machines, a broker and the cloud on one screen (SECONDS= SEED= FAULTS=all QUIET=1)
	@$(BIN)/python -m firmware_sim.demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(QUIET),--quiet)

serve: $(VENV)/.run-installed ## the cloud alone, on SQLite (PORT=8080 DATA=./var LOAD=)
	@$(BIN)/python -m cloud all --port $(PORT) --data $(DATA) $(if $(LOAD),--load '$(LOAD)')

tools:
	@scripts/system-tools

test: tools $(VENV)/.test-installed check ## everything: style, types, layers, then all tests (installs what is missing when root)
	@$(BIN)/python scripts/run_tiers.py

check: $(VENV)/.test-installed ## style, types and layers
	@echo '== style: ruff'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo '== types: mypy --strict'
	@$(BIN)/mypy
	@echo '== layers: import-linter'
	@$(BIN)/lint-imports

fuzz: $(VENV)/.test-installed ## ten times the random requests that the tests send, for a night (FUZZ_CASES= FUZZ_SEED=)
	@FUZZ_CASES='$(or $(FUZZ_CASES),200000)' FUZZ_SEED='$(or $(FUZZ_SEED),$(shell date +%Y%m%d))' \
		$(BIN)/python -m pytest -q -s -n 2 --dist load tests/contracts/test_fuzz.py

bench: $(VENV)/.test-installed ## measure, and print a table
	@$(BIN)/python -m bench

clean: ## remove the environment, caches and build results (not ./var, which holds data)
	rm -rf '$(VENV)' build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
