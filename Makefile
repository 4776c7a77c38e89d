# Everything that is done with this tree. Two commands do all the set-up: make demo, make test.

SHELL := bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell tools/find-python)
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml) $(wildcard examples/*/pyproject.toml)

.PHONY: help demo test check format bench docs dist clean constraints

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(VENV)/.installed ## order a certificate from a local ACME server, through two plugin instances
	@tools/need demo
	@$(BIN)/python tools/demo.py

test: $(VENV)/.installed ## run all tests
	@tools/need test
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/.installed ## lint, types, import contracts, generated documents
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@for plugin in plugins/*/src; do $(BIN)/mypy $$plugin || exit 1; done
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/reference.py --check

format: $(VENV)/.installed ## mend what can be mended by itself
	@$(BIN)/ruff check --fix-only --exit-zero .
	@$(BIN)/ruff format .

docs: $(VENV)/.installed ## write the generated references anew
	@$(BIN)/python tools/reference.py

bench: $(VENV)/.installed ## measure, side by side with others; results in bench/results
	@tools/need bench
	@$(BIN)/python bench/startup.py
	@$(BIN)/python bench/acme_http.py

constraints: $(VENV)/.installed ## pin what is installed now
	@$(BIN)/pip freeze --exclude-editable | grep -v '^-e\|^pvefw' > constraints.txt

clean: ## remove what was made
	rm -rf $(VENV) build dist site
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt $(PLUGINS)
	@tools/install $(PYTHON) $(VENV)
	@touch $@
