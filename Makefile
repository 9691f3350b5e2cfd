# The commands of a day. `make demo` and `make test` need nothing but this checkout: they set up what is missing.
# A setting of some machines that would have each process compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-slow test-all bench lint lock schema screenshot clean
.DEFAULT_GOAL := help

PY := .venv/bin/python

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
.PHONY: help

setup: ## make .venv with the tools of development (and install Debian packages when root)
	@bin/setup --development

demo: ## the feed end to end on an embedded database
	@bin/setup
	@.venv/bin/vinops demo

# Half of the tests' time is waiting for other processes: two for each core. `contain` ends what does not end, and leaves
# no process behind. Exit code 5 says that there was no test to run.
PYTEST := $(PY) tests/support/contain.py --minutes
MANY := --numprocesses $$(( $$(nproc) * 2 )) --dist worksteal
SLOW := slow and not quick and not machines
TESTS ?= tests

test: lint ## everything that has to pass before a change lands: lint, types, import contract, the quick tests
	@$(PYTEST) 60 $(PY) -m pytest $(MANY) -m "not machines and not ($(SLOW))"

test-slow: setup ## what `make test` leaves out, or of that TESTS="tests/crash …"; as root also machines (MACHINES=no)
	@$(PYTEST) 120 $(PY) -m pytest $(MANY) -m "$(SLOW)" $(TESTS) || [ $$? -eq 5 ]
	@[ $$(id -u) -ne 0 ] || [ "$(MACHINES)" = no ] || $(PYTEST) 120 $(PY) -m pytest -m machines -o timeout=900 $(TESTS) || [ $$? -eq 5 ]

test-all: test test-slow ## all tests, before an issue is called resolved

bench: setup ## measure: the feed, the photos, the market
	@$(PY) -m bench

lint: setup ## ruff, import contract, sqlfluff, mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/mypy & types=$$!; $(MAKE) --no-print-directory .sqlfluff_cache/clean; sql=$$?; wait $$types && exit $$sql

# All files take half a minute: only those are read that changed since they were clean.
.sqlfluff_cache/clean: pyproject.toml $(wildcard sql/migrations/*.sql sql/queries/*.sql)
	@.venv/bin/sqlfluff lint $(if $(filter pyproject.toml,$?),$(filter %.sql,$^),$?)
	@mkdir -p $(@D) && touch $@

schema: setup ## rewrite sql/schema.sql from the migrations
	@$(PY) -m ops.schema

screenshot: setup ## draw the monitor and the site at work: docs/monitor.svg, docs/board.webp, docs/ad.webp …
	@$(PY) -m demo.screenshot docs/monitor.svg
	@$(PY) -m demo.site_screenshot docs

LOCK := .venv/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock'
lock: setup ## compile the locks from pyproject.toml
	@printf 'uv\nsetuptools>=77\n' | $(LOCK) - -o bin/setup-requirements.txt
	@$(LOCK) pyproject.toml -o requirements.txt
	@$(LOCK) pyproject.toml --extra dev --constraint requirements.txt -o requirements-dev.txt
	@$(LOCK) pyproject.toml --extra scrapyd --constraint requirements.txt -o deploy/scrapyd/requirements.txt \
	$$(sed -n 's/^\([a-z0-9._-]*\)[=[].*/--no-emit-package \1/p' requirements.txt)

clean: ## remove .venv and caches; data under var/ stays
	@$(if $(wildcard $(PY)),$(PY),python3) -m vinops.db.embedded || true
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .sqlfluff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
