"""The scripts of ``benchmarks/`` fit what they measure, as far as importing them shows."""

import importlib
from pathlib import Path

import pytest

import pycnn

FOLDER = Path(pycnn.__file__).parents[1] / "benchmarks"
SCRIPTS = [p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith(("test_", "conftest"))]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_imported(name):
    if name == "cpu_path":
        pytest.importorskip("torch", reason="torch is not installed; pip install -e '.[torch]'")
    assert importlib.import_module(f"benchmarks.{name}").main
