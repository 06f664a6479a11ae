"""The scripts of ``benchmarks/`` fit what they measure, as far as importing them shows."""

import importlib
from pathlib import Path

import pytest

import pycnn
from pycnn.bench import kernelbench
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.options import STANDARD
from pycnn.bench.suites import SUITES

FOLDER = Path(pycnn.__file__).parents[1] / "benchmarks"
SCRIPTS = [p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith(("test_", "conftest"))]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_imported(name):
    if name in ("cpu_path", "torch_dispatch"):
        pytest.importorskip("torch", reason="torch is not installed; pip install -e '.[torch]'")
    assert importlib.import_module(f"benchmarks.{name}").main


def test_every_operation_has_a_benchmark_of_pytests():
    """`pytest benchmarks --suite standard --op all`, and those of networks by their suites."""
    conftest = importlib.import_module("benchmarks.conftest")
    suites = (*SUITES, STANDARD, kernelbench.NAME)
    for name, op in OPERATIONS.items():
        found = [conftest.layers(suite, op, "forward", op.dtypes[-1]) for suite in suites]
        assert any(found) or name == "split", name  # which computes nothing
    assert conftest.layers(STANDARD, OPERATIONS["argmin"], "backward", "float32") == []
    assert conftest.layers(STANDARD, OPERATIONS["relu6"], "forward", "int8") == []
