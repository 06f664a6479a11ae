# Every target works on a fresh checkout with Python 3.11 or later, make and a C++ compiler.
# The `gpu` targets install nothing and need no network: python3 must already have numpy, cupy,
# cuda-bindings, pybind11, pytest and torch.

PYTHON ?= python3
VENV   ?= .venv
SUITE  ?= resnet50
BENCH  ?= --quick --json build/bench.json --plot build/bench.png

BIN     := $(VENV)/bin
# A process of pytest for each core, and one thread of BLAS in each: more threads than cores spin.
PYTEST  := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
RUNTIME := $(shell find emulator -name '*.cpp' -o -name '*.h')

.PHONY: help bench test test-all test-quick lint docs kernels gpu gpu-all gpu-test gpu-sanitize gpu-bench gpu-build clean

help:
	@echo "make bench       time every convolution of a network: SUITE=$(SUITE) BENCH='$(BENCH)'"
	@echo "make test        every test, on every backend that is here"
	@echo "make test-all    also the tests that take many minutes"
	@echo "make test-quick  without the tests marked slow"
	@echo "make kernels     compile every kernel for every architecture (no GPU needed)"
	@echo "make gpu         on a machine with a GPU: gpu-test, gpu-sanitize, gpu-bench"
	@echo "make lint        ruff and mypy"
	@echo "make docs        write the generated tables of the documentation anew"
	@echo "make clean       remove what was built"

bench: $(VENV)/installed-bench
	mkdir -p build
	$(BIN)/pycnn bench $(SUITE) $(BENCH)

test: $(VENV)/installed-dev
	$(PYTEST) -m "not exhaustive" $(ARGS)

test-all: $(VENV)/installed-dev
	$(PYTEST) $(ARGS)

test-quick: $(VENV)/installed-dev
	$(PYTEST) -m "not slow and not exhaustive" $(ARGS)

kernels: $(VENV)/installed-dev
	mkdir -p build
	$(BIN)/pycnn kernels --arch all --json build/kernels.json

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev
	$(BIN)/python docs/tables.py

gpu: gpu-all

gpu-all gpu-test gpu-sanitize gpu-bench: gpu-%: gpu-build
	$(PYTHON) -m benchmarks.gpu $*

gpu-build:
	$(PYTHON) setup.py --quiet build_ext --inplace

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache pycnn/emulator/_runtime*.so
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp an extra; again when the package's build or the C++ runtime changes.
$(VENV)/installed-%: pyproject.toml setup.py $(RUNTIME) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
