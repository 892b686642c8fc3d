# Needs make and Python 3.10 or later, and nothing else. Everything is installed into the folder VENV.

PYTHON ?= python3
VENV ?= .venv
DEMO_FLAGS ?= --overwrite
PYTEST_FLAGS ?=

ENVIRONMENT := $(VENV)/.installed
ENVIRONMENT_FOR_DOCS := $(VENV)/.installed_docs
ENVIRONMENT_PYTHON := $(VENV)/bin/python
SOURCES := nnunetv2_dycon tests benchmarks documentation setup.py

.DEFAULT_GOAL := help
.PHONY: help environment demo test lint format docs pages package clean

help: ## Show this help
	@echo 'Usage: make TARGET [PYTHON=$(PYTHON)] [VENV=$(VENV)] [DEMO_FLAGS="$(DEMO_FLAGS)"] [PYTEST_FLAGS=...]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

environment: $(ENVIRONMENT) ## Make the environment and install the package and its test tools (first run: minutes)

demo: $(ENVIRONMENT) ## Train nnU-Net and DyCON on generated scans, and show where they differ
	PATH="$(abspath $(VENV))/bin:$$PATH" $(VENV)/bin/nnunetv2_dycon demo $(DEMO_FLAGS)

test: $(ENVIRONMENT) ## Run all tests
	PATH="$(abspath $(VENV))/bin:$$PATH" $(ENVIRONMENT_PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

lint: $(ENVIRONMENT) ## Check style, formatting and types
	$(ENVIRONMENT_PYTHON) -m ruff check $(SOURCES)
	$(ENVIRONMENT_PYTHON) -m ruff format --check $(SOURCES)
	$(ENVIRONMENT_PYTHON) -m mypy

format: $(ENVIRONMENT) ## Correct style and formatting where ruff can
	$(ENVIRONMENT_PYTHON) -m ruff check --fix $(SOURCES)
	$(ENVIRONMENT_PYTHON) -m ruff format $(SOURCES)

docs: $(ENVIRONMENT_FOR_DOCS) ## Build the documentation as a site, build/site/index.html; a broken link fails
	$(ENVIRONMENT_PYTHON) -m mkdocs build --strict

pages: $(ENVIRONMENT) ## Write the generated pages of the documentation anew
	$(ENVIRONMENT_PYTHON) -m documentation.site.settings_page
	$(ENVIRONMENT_PYTHON) -m benchmarks.results.page
	$(ENVIRONMENT_PYTHON) -m benchmarks.results.readme
	$(ENVIRONMENT_PYTHON) -m tests.bad_input.page

package: $(ENVIRONMENT) ## Build sdist and wheel into dist, and check their metadata
	rm -rf dist
	$(ENVIRONMENT_PYTHON) -m build
	$(ENVIRONMENT_PYTHON) -m twine check --strict dist/*

clean: ## Remove the environment, builds and caches
	if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find nnunetv2_dycon tests benchmarks documentation -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT): pyproject.toml setup.py nnunetv2_dycon.pth
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or later is needed: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
		|| { echo "This Python cannot make environments: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(ENVIRONMENT_PYTHON) -m pip install --disable-pip-version-check --editable '.[test]'
	touch $@

$(ENVIRONMENT_FOR_DOCS): $(ENVIRONMENT)
	$(ENVIRONMENT_PYTHON) -m pip install --disable-pip-version-check --editable '.[docs]'
	touch $@
