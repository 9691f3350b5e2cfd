# The commands of a day. `make demo` and `make test` need nothing but this checkout: they set up what is missing.
.PHONY: setup demo test test-machines bench lint lock schema screenshot clean
.DEFAULT_GOAL := help

PY := .venv/bin/python

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
.PHONY: help

setup: ## make .venv from the lock (and install Debian packages when root)
	@bin/setup

demo: setup ## the feed end to end on an embedded database
	@.venv/bin/vinops demo

# Some of the tests' time is waiting for other processes: two for each core. In the order of their folders the files that
# take long come first, and the quick ones of tests/unit fill what is left at the end.
test: lint ## everything that has to pass: lint, types, import contract, tests
	@$(PY) -m pytest --numprocesses $$(( $$(nproc) * 2 )) --dist loadfile --no-loadscope-reorder -m "not machines"

test-machines: setup ## booted systemd, hosts in namespaces, scrapyd nodes: a quarter of an hour, as root
	@$(PY) -m pytest -m machines --timeout 900

bench: setup ## measure: the feed, the photos, the market
	@$(PY) -m bench

lint: setup ## ruff, import contract, sqlfluff, mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/mypy & types=$$!; .venv/bin/sqlfluff lint sql/migrations sql/queries; sql=$$?; wait $$types && exit $$sql

schema: setup ## rewrite sql/schema.sql from the migrations
	@$(PY) -m ops.schema

screenshot: setup ## draw the monitor at work: docs/monitor.svg
	@$(PY) -m ops.screenshot docs/monitor.svg

# uv is a tool of this target only: it lives in a virtual environment that is thrown away. scrapy-rotating-proxies asks
# for `typing`, a backport to Python 3.4 that stands in the way of nothing but pip: left out, hence --no-deps in setup.
lock: ## compile requirements.txt and requirements-dev.txt from pyproject.toml
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	python3 -m venv "$$tools"; "$$tools/bin/python" -m pip install -qq --disable-pip-version-check uv; \
	echo "typing; python_version < '3.5'" >"$$tools/overrides.txt"; \
	compile() { "$$tools/bin/uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --override "$$tools/overrides.txt" \
	--no-emit-index-url --custom-compile-command 'make lock' "$$@" pyproject.toml; }; \
	compile -o requirements.txt; \
	compile --extra dev -c requirements.txt -o requirements-dev.txt; \
	compile --extra scrapyd -c requirements.txt $$(sed -n 's/^\([a-z0-9._-]*\)[=[].*/--no-emit-package \1/p' requirements.txt) -o deploy/scrapyd/requirements.txt

clean: ## remove .venv and caches; data under var/ stays
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
