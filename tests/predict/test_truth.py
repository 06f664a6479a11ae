"""Published measurements: that they are whole, and that the model stays near a few of them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pycnn.predict import gpus

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "model_truth.py"


@pytest.fixture(scope="module")
def truth() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model_truth", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_has_a_source_and_a_gpu(truth: ModuleType) -> None:
    data = truth.measurements()
    rows = data["rows"]
    assert len(rows) >= 40
    assert len({row["gpu"] for row in rows}) >= 4
    assert {row["source"] for row in rows} == set(data["sources"])
    assert {row["gpu"] for row in rows} <= set(gpus.names())
    assert all(row["value"] > 0 and row["unit"] in ("GFLOP/s", "GB/s") for row in rows)
    names = [(row["source"], row["gpu"], row["name"]) for row in rows]
    assert len(names) == len(set(names))
    assert {truth.held_out(row, data["sources"]) for row in rows} == {True, False}


def test_rank_correlation(truth: ModuleType) -> None:
    assert truth.spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert truth.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 over the root of 4.5 by 5.
    assert truth.spearman([1, 2, 2, 4], [1, 2, 3, 4]) == pytest.approx(0.9**0.5)


@pytest.mark.parametrize(
    ("source", "gpu", "name"),
    [("gpu-stream", "a100", "read 128"), ("gpu-roofline", "a40", "488 multiply-adds"),
     ("siboehm", "a6000", "5 2D block tiles")],
)  # fmt: skip
def test_prediction_is_near_the_measurement(
    truth: ModuleType, source: str, gpu: str, name: str
) -> None:
    """One bound by latency, one by ports of registers, one by L1 and shared memory."""
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    (row,) = (r for r in truth.measurements()["rows"]
              if (r["source"], r["gpu"], r["name"]) == (source, gpu, name))  # fmt: skip
    value, _ = truth.predicted(row)
    assert value == pytest.approx(row["value"], rel=0.2)
