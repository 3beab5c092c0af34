# Everything a clean clone needs; each target sets up what it uses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
# The index of torch's builds for processors alone, which PyTorch's page "Get started" names; CUDA=1 takes the large ones.
TORCH_INDEX ?=
CUDA ?=
STAMP  := $(VENV)/.stamp

.PHONY: demo test app-test lint format bench bench-accuracy faults fuzz clean setup setup-dev

demo: setup
	$(BIN)/medsam-segment demo --output demo --overwrite

# As many files of tests at a time as JOBS says: one more than there are cores, since many tests wait for a browser, a
# server or a worker, but four at most. A debugger needs JOBS=0. The application's tests have processes of their own: Qt's
# objects do not stand other threads, those of engines and servers, in the same process.
# Several processes compute at a time: each with one thread, and one that waits for another gives its core away.
JOBS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: export OMP_NUM_THREADS ?= 1
test: export OMP_WAIT_POLICY ?= PASSIVE
test: setup-dev
	$(PYTEST) Testing/app; first=$$?; $(PYTEST) Testing --ignore Testing/app && exit $$first

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

# Dice and more on the judging set that CASES names (Testing/bench/collect_cases.py makes it), as tables: a third of it,
# which takes some half an hour, with ALL=1 the whole. An interrupted run continues; OUT holds the figures of a revision.
# HALF is tuned, untouched or both.
HALF ?= both
ALL  ?=
OUT  ?= build/accuracy-$(shell git describe --always --dirty --exclude '*' 2>/dev/null).json
bench-accuracy: setup-dev
	@test -n "$(CASES)" || { echo "Name the judging set: make bench-accuracy CASES=/path/to/cases"; exit 2; }
	$(BIN)/python Testing/bench/accuracy.py "$(CASES)" --half $(HALF) $(if $(ALL),--all) --out "$(OUT)"

# Nightly: faults injected into every part, damaged bytes for every parser (Testing/README.md). Both end with 1 when
# harm was seen. With REPORT=Resources/docs/faults.json, and faults_page.py after it, the page is made anew.
REPORT ?= build/faults.json
faults: setup-dev
	$(BIN)/python Testing/faults/campaign.py --report "$(REPORT)"
	$(BIN)/python Testing/cohort/kills.py --kills 100

INPUTS ?= 1000000
fuzz: setup-dev
	$(BIN)/python Testing/faults/fuzz.py --inputs $(INPUTS) --report "$(REPORT)"

setup: $(STAMP)-run
setup-dev: $(STAMP)-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# On Linux the plain name of torch brings gigabytes of CUDA libraries along, pinned or not, unless pip is told of another
# build: pip is asked first what it would fetch.
define install_torch
	@test -n "$(TORCH_INDEX)$(CUDA)" \
	  || ! $(BIN)/python -m pip install --quiet --dry-run --report - "$(TORCH)" | grep -qE '"name": "(nvidia|cuda)-' \
	  || { echo "torch would bring 3 GB of CUDA libraries along. Name the index of the builds without them (see"; \
	       echo "PyTorch's page Get started), make $(MAKECMDGOALS) TORCH_INDEX=..., or take them: CUDA=1"; exit 1; }
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") \
	  "$(TORCH)$(if $(TORCH_INDEX),+cpu)"
endef

$(STAMP)-run: pyproject.toml | $(BIN)/python
	$(install_torch)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(STAMP)-dev: pyproject.toml | $(BIN)/python
	$(install_torch)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(STAMP)-run

clean:
	rm -rf $(VENV) demo build .pytest_cache .mypy_cache .ruff_cache
