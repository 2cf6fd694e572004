# Two commands do everything on a fresh machine with Python >= 3.11: `make train` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: train test test-slow clean

train: $(VENV)/.installed
	$(BIN)/snnsim train $(ARGS)

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.slow
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m slow

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $(VENV)/.installed $@

$(VENV)/.slow: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test,slow]"
	touch $(VENV)/.installed $(VENV)/.test $@

clean:
	rm -rf $(VENV) build dist *.egg-info
