# Two commands do everything on a fresh machine with Python >= 3.11: `make train` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CUDA ?= .venv-cuda
DOCS ?= .venv-docs
ARGS ?=

.PHONY: train test test-cuda test-slow test-view docs clean

train: $(VENV)/.installed
	$(BIN)/snnsim train $(ARGS)

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Compiles and assembles every CUDA kernel; needs no GPU, but wheels that the other environment must not have.
test-cuda: $(CUDA)/.installed
	$(CUDA)/bin/python -m tests.cuda.compiled

test-slow: $(VENV)/.slow
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m slow

# The viewer in headless Chromium: Debian's, where none is installed.
test-view: $(VENV)/.view
	command -v chromium > /dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m view

# The documentation, into build/docs; every notebook of the tutorial is executed, every warning is an error.
docs: $(DOCS)/.installed
	rm -rf build/docs
	OMP_WAIT_POLICY=PASSIVE $(DOCS)/bin/sphinx-build -W --keep-going -E -d build/doctrees -b html docs build/docs

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

$(VENV)/.view: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test,view,view-test]"
	touch $(VENV)/.installed $(VENV)/.test $@

$(CUDA)/.installed: pyproject.toml
	$(PYTHON) -m venv $(CUDA)
	$(CUDA)/bin/python -m pip install --quiet --editable ".[cuda-compile]"
	touch $@

$(DOCS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(CUDA) $(DOCS) build dist *.egg-info
