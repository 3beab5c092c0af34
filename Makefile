# Everything a clean clone needs; each target sets up what it uses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
STAMP  := $(VENV)/.stamp

.PHONY: demo test lint format bench clean setup setup-dev

demo: setup
	$(BIN)/medsam-segment demo --output demo

test: setup-dev
	$(BIN)/python -m pytest Testing

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev
	$(BIN)/python Testing/bench/bench.py

setup: $(STAMP)-run
setup-dev: $(STAMP)-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: on a machine without a GPU the plain name would pull gigabytes of CUDA libraries.
$(STAMP)-run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(STAMP)-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(STAMP)-run

clean:
	rm -rf $(VENV) demo build .pytest_cache .mypy_cache .ruff_cache
