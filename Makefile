# Everything a clean clone needs; each target sets up what it uses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
STAMP  := $(VENV)/.stamp

.PHONY: demo test app-test lint format bench clean setup setup-dev

demo: setup
	$(BIN)/medsam-segment demo --output demo --overwrite

test: setup-dev
	$(BIN)/python -m pytest Testing

# The scenarios in the 3D Slicer that SLICER names, for example: make app-test SLICER=/opt/Slicer-5.12.3/Slicer
ROUNDS ?= 1
app-test:
	@test -n "$(SLICER)" || { echo "Name the application: make app-test SLICER=/path/to/Slicer"; exit 2; }
	$(PYTHON) Testing/application/app_test.py "$(SLICER)" --rounds $(ROUNDS)

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
