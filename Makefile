# Two commands: `make demo` and `make test`. Both set up what they need, here, in .venv.
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
SECONDS_DEMO ?= 40
WALL_CLOCK := tests/e2e tests/instruments tests/dashboard

.PHONY: help demo docs test test-oracles setup setup-test lint types contracts unit bench clean

help:
	@echo "make demo     set up and run two nodes, a station and a simulated lab; prints one table of results"
	@echo "make test     set up and run every check and test"
	@echo "make test-oracles   other people's clients (some GPL, in their own environment) judge our instruments"
	@echo "make docs     build the documentation into build/site; every link is checked"
	@echo "make bench    list the benchmarks (their peers: $(BIN)/pip install -e .[peers])"
	@echo "make clean    remove the virtual environment and what was built"

setup: $(VENV)/.ready-demo
setup-test: $(VENV)/.ready-test

$(VENV)/.ready-%: pyproject.toml setup.py $(wildcard cext/*.pyx cext/*.pxd cext/*.h) tools/setup.sh
	@VENV=$(VENV) tools/setup.sh $*
	@touch $@

demo: setup
	$(BIN)/qnodeos demo --seconds $(SECONDS_DEMO)

test: setup-test lint types contracts unit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports

# Two files at a time; those that stand on the wall clock one by one, as they need a machine that answers.
unit:
	$(BIN)/python -m pytest -n 2 --dist loadfile $(WALL_CLOCK:%=--ignore=%)
	$(BIN)/python -m pytest $(WALL_CLOCK)

# Other people's clients against our simulated instruments; they get an environment of their own.
test-oracles: setup-test
	@VENV=$(VENV) tools/oracles.sh

docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "built: build/site/index.html"

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info cext/*.so
