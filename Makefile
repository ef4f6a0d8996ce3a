# Two commands do all the set-up on a fresh Debian with Python 3.11: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests stay in one process: they share browsers, servers and builds. Two in three wait for a peer most of their
# time, so there is one process more than cores. Some look at times, so a crowd won't do.
SIDE_BY_SIDE := --numprocesses $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 4 --dist loadfile
STAMP := $(VENV)/.installed

.PHONY: help demo install test test-all lint types contracts pytest soak bench bench-floors bench-ci bench-direct bench-signaling coverage docs serve-docs format clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

$(STAMP): $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	touch $@

demo: $(VENV)/.runtime ## a signaling server, an echo server and a client; 16 MiB there and back
	$(BIN)/python examples/webrtc_echo.py --demo

install: $(STAMP) ## make .venv with everything a developer needs

lint: $(STAMP) ## style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy strict, then pyright
	$(BIN)/mypy
	$(BIN)/pyright

contracts: $(STAMP) ## who may import whom
	$(BIN)/lint-imports

pytest: $(STAMP) ## all tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --timeout 300

soak: $(STAMP) ## the tests that take minutes, at their full sizes
	$(BIN)/python -m pytest -m soak

bench: $(STAMP) ## all measures, beside aiortc, libp2p, libdatachannel and libwebrtc
	$(BIN)/python -m benchmarks --rounds 5

bench-floors: $(STAMP) ## a shorter run, which fails when a ratio is under its floor
	$(BIN)/python -m benchmarks --floors --rounds 3

bench-direct: $(STAMP) ## webrtc-direct under load: 1,000 connections, and a flood of false checks (needs root)
	$(BIN)/python -m benchmarks.crowd
	$(BIN)/python -m benchmarks.flood

bench-signaling: $(STAMP) ## the signaling server: 10,000 idle clients, and what it routes, beside PeerJS's server; and two servers beside one
	$(BIN)/python -m benchmarks.signaling_load

bench-ci: $(STAMP) ## a few ratios that hold on any machine, in a minute
	$(BIN)/python -m benchmarks --ci --rounds 2

coverage: $(STAMP) ## all tests, and which lines they leave out
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --skip-covered --show-missing

docs: $(STAMP) ## build the site into site/
	$(BIN)/mkdocs build --strict --quiet

serve-docs: $(STAMP) ## the site, live, on http://127.0.0.1:8000
	$(BIN)/mkdocs serve

format: $(STAMP) ## let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: system-packages lint types contracts pytest docs ## everything that CI checks, but for bench-ci

.PHONY: system-packages
system-packages:
	./tests/install_system_packages.sh

test-all: $(STAMP) ## the tests on every CPython from 3.11 that is installed
	$(BIN)/nox

clean: ## remove what the commands above made
	rm -rf $(VENV) site dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
