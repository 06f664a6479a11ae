# Every target works on a fresh checkout with Python 3.11 or later, make and a C++ compiler.
#
# The `gpu` targets install nothing and need no network. python3 must have, beside a driver:
#     numpy, cupy, cuda-bindings, cuda-pathfinder, ml_dtypes, pytest
#     NVRTC, cuBLAS and cuFFT, and the headers of the CUDA runtime
# all of which `pip install -e '.[cuda13]' pytest` brings. If they are there, they are used:
#     pytest-xdist: the tests run on all cores
#     torch: cuDNN, to compare with
#     compute-sanitizer: the stage of that name
# `GPU=2 make gpu` takes the third GPU that nvidia-smi lists.

PYTHON ?= python3
VENV   ?= .venv
SUITE  ?= resnet50
BENCH  ?= --quick --force --json build/bench.json --plot build/bench.png
SECONDS = 60

BIN     := $(VENV)/bin
# A process of pytest for each core, and one thread of BLAS in each: more threads than cores spin.
# Bytecode is kept: hundreds of tests start a process that imports the package.
PYTEST   = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
CHOSEN  := $(if $(GPU),CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$(GPU) )
RUNTIME := $(shell find cpu emulator -name '*.cpp' -o -name '*.h')
STANDIN := build/standin
TORCH   := build/torch
# Where pip finds PyTorch; without it the wheel for GPUs comes, which computes on the CPU as well.
TORCH_PIP ?=

.PHONY: help bench fuzz standin test-cupy test-torch test test-all test-quick sanitize lint docs kernels clean \
        gpu gpu-all gpu-compile gpu-test gpu-sanitize gpu-bench gpu-page

help:
	@echo "make bench       time every convolution of a network, predict it on an H200: SUITE=$(SUITE) BENCH='$(BENCH)'"
	@echo "make test        every test, on every backend that is here"
	@echo "make test-all    also the tests that take many minutes"
	@echo "make fuzz        random calls of every operation, for SECONDS=60, half of them on the emulator"
	@echo "make sanitize    tests of the C++ once more, built with AddressSanitizer, and with UBSan"
	@echo "make test-quick  without the tests marked slow"
	@echo "make test-cupy   the tests of the backend cuda, on CuPy's wheel with no GPU (1.3 GB to download)"
	@echo "make test-torch  the tests that need PyTorch, in build/torch; TORCH_PIP='--index-url URL' for CPU wheels"
	@echo "make standin     only the environment for it: build/standin/bin/python runs any command"
	@echo "make kernels     compile every kernel for every architecture (no GPU needed)"
	@echo "make gpu         on a machine with a GPU: gpu-compile, gpu-test, gpu-sanitize, gpu-bench"
	@echo "make lint        ruff and mypy"
	@echo "make docs        write the tables and pictures of the documentation anew"
	@echo "make clean       remove what was built"

bench: $(VENV)/installed-bench
	mkdir -p build
	$(BIN)/pycnn bench $(SUITE) $(BENCH)

test: $(VENV)/installed-dev
	$(PYTEST) -m "not exhaustive" $(ARGS)

test-all: $(VENV)/installed-dev
	$(PYTEST) $(ARGS)
	$(MAKE) test-cupy

test-quick: $(VENV)/installed-dev
	$(PYTEST) -m "not slow and not exhaustive" $(ARGS)

sanitize: $(VENV)/installed-dev
	$(PYTEST) tests/sanitized $(ARGS)

fuzz: $(VENV)/installed-dev
	$(BIN)/python -m pycnn.testing.fuzz --seconds $$(($(SECONDS) / 2)) $(ARGS)
	$(BIN)/python -m pycnn.testing.fuzz --seconds $$(($(SECONDS) / 2)) --backend checked $(ARGS)

standin: $(STANDIN)/built

test-cupy: BIN := $(STANDIN)/bin
test-cupy: $(STANDIN)/built
	PYCNN_TEST_BACKENDS=cuda $(PYTEST) -m "not exhaustive" -k "cuda or standin or cupy" $(ARGS)

# Those that import PyTorch, or skip where it is missing.
test-torch: BIN := $(TORCH)/bin
test-torch: $(TORCH)/installed
	$(PYTEST) -m "not exhaustive" $(shell grep -l 'import torch\|importorskip."torch' tests/*/test_*.py) $(ARGS)

$(TORCH)/installed: pyproject.toml setup.py $(RUNTIME)
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python -m pip install --quiet $(TORCH_PIP) torch
	$(TORCH)/bin/python -m pip install --quiet --editable '.[dev,torch,onnx]'
	touch $@

# CuPy's wheel and CUDA's libraries (1.3 GB to download) and the driver they run on without a GPU.
$(STANDIN)/built: pyproject.toml setup.py $(RUNTIME) $(wildcard tests/standin/build.py tests/standin/cuda/*)
	$(PYTHON) tests/standin/build.py $(STANDIN)
	touch $@

kernels: $(VENV)/installed-dev
	mkdir -p build
	$(BIN)/pycnn kernels --arch all --force --json build/kernels.json

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev
	$(BIN)/python docs/tables.py
	$(BIN)/python -m docs.pictures

gpu: gpu-all

gpu-all gpu-compile gpu-test gpu-sanitize gpu-bench gpu-page: gpu-%:
	$(CHOSEN)$(PYTHON) -m benchmarks.gpu $*

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache pycnn/emulator/_runtime*.so \
	  pycnn/reference/cpu/_compiled*.so
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp an extra; again when the package's build or the C++ runtime changes. Bytecode is left to
# the first import: of 12,000 modules that come along, most are never imported.
$(VENV)/installed-%: pyproject.toml setup.py $(RUNTIME) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[$*]'
	touch $@
