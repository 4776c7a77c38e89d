# The project's habits; `make help` lists them. All of them start from a fresh clone on Debian 12 or later.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Debian's own interpreter comes first: a test must not depend on who has put what into PATH.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
BIN := .venv/bin
ARGS ?=
# An area of tests is a folder of tests/, and the plugins that have its name in theirs: boot, guests, dns.
AREA ?=
TESTS = $(if $(AREA),$(or $(wildcard tests/$(AREA) plugins/*$(AREA:s=)*),$(error There is no area $(AREA))))
# Debian keeps servers where an ordinary user's path does not lead.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
# Tests start pvefw some thousand times: it is compiled once.
unexport PYTHONDONTWRITEBYTECODE
# Groups of tools/debian-packages.txt: whoever is not root hears of all that is missing in one sentence.
demo: NEEDS := demo
quick test test-slow coverage slow: NEEDS := test plugins
bench: NEEDS := bench
test-anywhere: NEEDS := test plugins anywhere
check references docs house: NEEDS := plugins

SOURCES := pvefw tools shims/src $(wildcard plugins/*/src)
# every page that has a part which cog writes
GENERATED := $(shell grep -l -F "[[[cog" docs/*.md docs/reference/*.md)

.PHONY: help demo quick test test-slow test-anywhere coverage check style types contracts references house bench docs site site-version dist deb format venv constraints freeze slow audit fuzz clean

help:  ## List these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: venv  ## A certificate for two names, by http-01 and through DNS, in a throw-away root. ARGS="--cast FILE" records it.
	@$(PYTHON) tools/debian.py demo
	@$(BIN)/python tools/demo.py $(ARGS)

quick: venv  ## Run the tests that take no servers and no machines, in a minute. AREA=boot takes those of an area.
	@$(PYTHON) tools/debian.py test
	@$(BIN)/pytest --stage quick -n auto --dist loadgroup $(TESTS) $(ARGS)

test: venv  ## Run every test, stage by stage; the first that fails is the last. ARGS="-k order" is handed to pytest.
	@$(PYTHON) tools/debian.py test
	@$(BIN)/python tools/stages.py $(TESTS) $(ARGS)

audit: venv  ## At a release: look for known faults in what constraints.txt pins, in DATABASE=all.zip of OSV.
	@$(BIN)/python tools/audit.py $(DATABASE)

slow: venv  ## Measure which tests are not quick, and keep their names in tests/slow.txt.
	@$(BIN)/pytest --stage quick --record-slow -n auto --dist loadgroup

test-slow: venv  ## Run the tests of the night, which repeat at length what shorter ones show, too.
	@$(PYTHON) tools/debian.py test
	@$(BIN)/pytest --stage night -n auto --dist loadgroup $(TESTS) $(ARGS)

fuzz: venv  ## Feed every parser of foreign bytes with nonsense, for SECONDS=600. What is found is kept in tests/hostile/corpus.
	@PVEFW_FUZZ_SECONDS=$(or $(SECONDS),600) $(BIN)/pytest -n auto tests/hostile/test_fuzz.py $(ARGS)

coverage: venv  ## Measure what tests cover, but those of machines; below its floor it fails, above it raises it.
	@$(PYTHON) tools/debian.py test
	@$(BIN)/python tools/covered.py $(ARGS)

test-anywhere: venv  ## Run what needs no machine on other days, as other users ... ARGS="days-400 -k order" takes one.
	@$(PYTHON) tools/debian.py $(NEEDS)
	@$(BIN)/python tools/anywhere.py $(ARGS)

check: style types contracts references house site  ## Style, types, import contracts, house rules, docs: generated parts up to date.

style: venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: venv
	@$(BIN)/mypy $(SOURCES)

contracts: venv
	@$(BIN)/lint-imports

references: venv
	@$(BIN)/cog --check -I tools $(GENERATED)
	@$(BIN)/python tools/share.py --check
	@$(BIN)/python tools/two_years.py --check
	@$(BIN)/python tools/many_nodes.py --check
	@$(BIN)/python tools/pictures.py --check

house: venv  ## Run the tests of the house's own rules, the slow ones, too: names, words, where code may stand.
	@$(BIN)/pytest --quiet -r fE -n auto tests/house

bench: venv  ## Measure against lego, certbot and the bare interpreter; keeps JSON in bench/results.
	@$(PYTHON) tools/debian.py bench
	@$(BIN)/python bench/run.py $(ARGS)

docs: venv  ## Write the generated parts of docs/, its pictures and the manual pages again.
	@$(BIN)/cog -r -I tools $(GENERATED)
	@$(BIN)/python tools/share.py
	@$(BIN)/python tools/two_years.py
	@$(BIN)/python tools/many_nodes.py
	@$(BIN)/python tools/pictures.py

site: venv  ## Build the documentation as a site into site/; a warning is an error.
	@# not --quiet: it does not count the warnings that it does not print
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict 2>&1 | { grep -v '^INFO' || true; }

site-version: venv  ## Add the site of VERSION=1.1 to the branch gh-pages of this repository, as the latest; nothing is pushed.
	@PATH="$(abspath $(BIN)):$$PATH"; mike deploy --update-aliases $(or $(VERSION),$(error VERSION is missing, as in VERSION=1.1)) latest && mike set-default latest

dist: venv  ## Build the sdist and the wheel of every distribution, and the Ansible collection, into dist/.
	@$(BIN)/python tools/dist.py
	@$(BIN)/ansible-galaxy collection build --force --output-path dist ansible

deb: venv  ## Build the Debian packages pvefw (self-contained) and pvefw-shims into dist/.
	@$(BIN)/python tools/deb.py

format: venv  ## Format the code and fix what ruff can fix by itself.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

venv:  ## Make .venv, or bring it up to date; does nothing where nothing has changed.
	@$(PYTHON) tools/venv.py $(NEEDS)

constraints:  ## Pin what .venv has now: versions in constraints.txt, hashes of their files in hashes.txt.
	@$(PYTHON) tools/venv.py --resolve
	@$(BIN)/python tools/constraints.py tests/servers/a2c.txt tests/servers/ansible.txt

freeze: venv  ## At a release: keep the plugin API and the kits as they are, for tests/compatibility.
	@$(BIN)/python tools/freeze.py

clean:  ## Remove the environment and everything that tools have left.
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
