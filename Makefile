# One command each: `make demo` shows the whole path, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
STAMP := .venv/.serin-installed
EXPORT_STAMP := .venv-export/.serin-installed
EXPORT_TORCH := 2.13.0  # the version that was tested; where pip has no build for a CPU alone, it is gigabytes
EXPORT_TESTS ?= $(addprefix tests/serving/test_,export.py transformers.py families.py library.py released.py)
WORKERS ?= 3  # test files that run at a time (tests/conftest.py): most of them wait for processes
WORDS := $(addprefix tests/test_,docstrings.py docs.py glossary.py reference.py openapi.py)  # what a changed sentence breaks
BENCHES := rollback path  # the quick ones; the others (see tests/bench) take from ten minutes to hours
RULES = $(shell find deploy -name '*.rules.yml')
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE  # where it is set, each of a thousand processes of the tests compiles Serin anew
DEMO ?=

.PHONY: help setup setup-export demo test test-export check check-deploy format monitoring docs tour crds sbom bench clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP)  ## Install all that the demo and the tests need, into .venv (a second run does nothing)

$(STAMP): pyproject.toml constraints.txt deploy/install/setup.sh deploy/install/common.sh
	@deploy/install/setup.sh
	@touch $@

demo: setup  ## Watch real models promoted and rolled back on live traffic; DEMO="--json FILE" writes the outcomes
	@$(PYTHON) -m suites.intents.demo $(DEMO)

test: setup  ## Run every test; TESTS="tests/gates -k latency" runs some
	@$(PYTHON) -m pytest $(if $(TESTS),$(TESTS),-n $(WORKERS))

setup-export: $(EXPORT_STAMP)  ## Install what exporting a graph needs, as tested, into .venv-export, with a serin of its own

test-export: $(EXPORT_STAMP)  ## Run the tests that need torch and transformers, in .venv-export (made at the first time)
	@OMP_NUM_THREADS=1 .venv-export/bin/python -m pytest $(EXPORT_TESTS)

$(EXPORT_STAMP): pyproject.toml constraints.txt deploy/install/setup.sh deploy/install/common.sh
	@deploy/install/setup.sh $(EXPORT_TORCH)
	@touch $@

check-deploy: setup  ## Check what stands in deploy/: the chart, images (built in a chroot by root), rules, routing, dashboards, runbooks, units; one line counts them
	@SERIN_TEST_CLEAN_ROOT=$${SERIN_TEST_CLEAN_ROOT:-new} $(PYTHON) -m pytest --quiet tests/deploy

check: setup  ## Check format, lint, types, import rules, Prometheus rules, docstrings and docs
	@ruff format --check --quiet . || { echo "run: make format" >&2; exit 1; }
	@ruff check --quiet .
	@mypy --no-error-summary
	@lint-imports --no-logo 2>&1 || exit 1
	@if [ -n "$(RULES)" ]; then promtool check rules $(RULES); fi
	@said=$$($(PYTHON) -m pytest --quiet $(WORDS) 2>&1) || { echo "$$said" >&2; exit 1; }

format: setup  ## Format the code and mend what the linter can mend
	@ruff format --quiet . && ruff check --quiet --fix .

monitoring: setup  ## Make the rules and the routing in deploy/ anew from the policy there
	@$(PYTHON) -m controller.bootstrap.monitoring_files deploy

tour: setup  ## Make docs/tour.md and its pictures anew, from a real installation (five minutes; needs Chromium)
	@$(PYTHON) -m tests.tour

docs: setup  ## Rewrite what docs/ and the chart have from the code: keys, gates, commands, routes, values
	@$(PYTHON) -m controller.config.reference docs/policy.md docs/gates.md
	@$(PYTHON) -m tests.deploy.table
	@$(PYTHON) -m tests.reference

sbom: setup  ## List what the images hold, as CycloneDX in build/sbom (installs it into build/images first)
	@for part in controller serving gate; do \
		rm -rf build/images/$$part; deploy/images/install.sh $$part build/images/$$part; \
		deploy/images/sbom.sh build/images/$$part/bin/python build/sbom/$$part.cdx.json; \
	done

crds: setup  ## Rewrite deploy/crds from the code
	@$(PYTHON) -m controller.adapters.kubernetes.crds deploy/crds

bench: $(addprefix bench-,$(BENCHES))  ## Time a rollback under load, and the way of a request beside the bare engine

bench-%: setup  ## Run one benchmark: tests/bench/%.py
	@$(PYTHON) -m tests.bench.$*

clean:  ## Remove what the other commands made, .venv too
	rm -rf .venv .venv-export .serin build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
