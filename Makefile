# What can be done with Pegel from a clone. `make` alone lists it. Needs Python 3.11 to 3.13, its venv module and make.
#
# Exit codes: make itself answers 2 whenever a recipe fails and prints the recipe's own code ("Error 1");
# `.venv/bin/pegel ...` gives its own: 0 good, 1 a check found something, 2 usage or configuration, 130 interrupted.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
INSTALL := deploy/install.sh
PYTEST := $(BIN)/python -m pytest
# A process a core. Not on real servers: there is one of each a session.
PARALLEL := -n auto --dist worksteal

.PHONY: help run test test-all test-faults check bench pictures deps-debian schemas lock clean

help: ## list what there is
	@echo "Pegel: early warning for spikes of customer contacts."
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo
	@echo "  make run SIMULATE=0            starts empty, without the simulated bank"
	@echo "  make run SIMULATE=0 CLOCK=data time moves by ticks only, for files of the past (pegel replay)"
	@echo "  make run BUCKET=5m             the smallest interval counted; 1m when not given"
	@$(INSTALL) --check

# --- running -----------------------------------------------------------------------------------------------------

# What was given to make becomes settings of this run alone; every PEGEL_ variable of yours is passed as it is.
run: $(VENV)/.run-stamp ## start everything here: dashboard on http://127.0.0.1:8000/, and a simulated bank
	@set -eu; \
	bucket='$(BUCKET)'; \
	if [ -n "$$bucket" ]; then \
	  number=$${bucket%[smh]}; \
	  case "$$number" in ''|*[!0-9]*) echo "BUCKET=$$bucket is not a length of time: give 30s, 1m, 5m or 1h" >&2; exit 2;; esac; \
	  case "$$bucket" in *m) number=$$((number * 60));; *h) number=$$((number * 3600));; esac; \
	  export PEGEL_BUCKET_SECONDS="$$number"; \
	fi; \
	clock='$(CLOCK)'; [ -z "$$clock" ] || export PEGEL_CLOCK="$$clock"; \
	case '$(SIMULATE)' in \
	  ''|1) exec $(BIN)/pegel run;; \
	  0) exec $(BIN)/pegel run --no-simulate;; \
	  *) echo "SIMULATE=$(SIMULATE) is neither 0 nor 1" >&2; exit 2;; \
	esac

# --- tests and checks --------------------------------------------------------------------------------------------

test: $(VENV)/.dev-stamp ## the tests that need nothing but Python
	@$(PYTEST) -m "not server" $(PARALLEL)

test-all: $(VENV)/.dev-stamp ## all tests, on a real Kafka, PostgreSQL, Prometheus, Alertmanager and Chromium; no skips
	@deploy/dev/kafka/kafka.sh fetch
	@$(PYTEST) --no-skips --seeds 200 -m "not server" $(PARALLEL)
	@$(PYTEST) --no-skips -m "server and not faults"

test-faults: $(VENV)/.dev-stamp ## the services under faults on a real Kafka and PostgreSQL; FAULTS=reduced for fewer of each
	@case '$(FAULTS)' in ''|full|reduced) ;; *) echo "FAULTS=$(FAULTS) is neither full nor reduced" >&2; exit 2;; esac
	@deploy/dev/kafka/kafka.sh fetch
	@FAULTS='$(FAULTS)' $(PYTEST) --no-skips -m faults -n 2

check: $(VENV)/.dev-stamp ## imports, lint, format, types, and drift of what is generated
	@$(BIN)/lint-imports
	@$(BIN)/ruff check --quiet . && echo "ruff: nothing found"
	@$(BIN)/ruff format --quiet --check . || { echo "ruff: these files are not formatted: .venv/bin/ruff format" >&2; $(BIN)/ruff format --check .; }
	@$(BIN)/mypy
	@$(BIN)/python -m support.drift

bench: $(VENV)/.dev-stamp ## speed and size, one JSON line each, some of them on a real Kafka
	@code=0; for file in benchmarks/*.py; do $(BIN)/python $$file || code=1; done; exit $$code

pictures: $(VENV)/.dev-stamp ## every picture in docs/, made from the running product
	@$(BIN)/python -m support.pictures

check bench pictures schemas: export PYTHONPATH := tests

deps-debian: ## install the servers that test-all needs, as packages of Debian 12 (needs root)
	@deploy/dev/debian.sh

# --- generated files ---------------------------------------------------------------------------------------------

schemas: $(VENV)/.dev-stamp ## write schemas/json/ anew from the models
	@$(BIN)/python -m support.drift --write

lock: ## resolve pyproject.toml into both lock files
	@deploy/lock.sh

# --- the environment ---------------------------------------------------------------------------------------------

$(VENV)/.run-stamp: requirements.lock pyproject.toml $(INSTALL)
	@$(INSTALL) $(VENV) requirements.lock --editable
	@touch $@

# The development lock holds the other, at the same versions: after it, nothing is left to install for `make run`.
$(VENV)/.dev-stamp: requirements-dev.lock requirements.lock pyproject.toml $(INSTALL)
	@$(INSTALL) $(VENV) requirements-dev.lock --editable
	@touch $(VENV)/.run-stamp $@

clean: ## remove the environment and all caches; ./data stays
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
