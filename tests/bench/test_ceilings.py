"""Roofline arithmetic, against values worked out by hand."""

import sys
from types import SimpleNamespace

import pytest

from pycnn.bench import ceilings
from pycnn.bench.ceilings import Ceiling, _largest, _precision, at_hand, measure_ceiling
from pycnn.predict.gpus import gpu

#: 100 GFLOP/s and 20 GB/s meet at 5 FLOPs a byte.
CEILING = Ceiling("cpu", "float32", gflops=100.0, gbytes_per_s=20.0)


def test_memory_binds_below_the_ridge_and_compute_above():
    assert CEILING.attainable_gflops(2.0) == 40.0
    assert CEILING.attainable_gflops(50.0) == 100.0
    assert CEILING.bound(4.9) == "memory"
    assert CEILING.bound(5.1) == "compute"


def test_share_is_that_of_the_binding_limit():
    # 1 GFLOP needs 10 ms at best, 0.1 GB needs 5 ms: half of the ceiling in 20 ms
    assert CEILING.share(1e9, 1e8, 0.020) == pytest.approx(0.5)
    # 1 GB needs 50 ms at best
    assert CEILING.share(1e9, 1e9, 0.100) == pytest.approx(0.5)


def test_share_agrees_with_the_roofline():
    flops, nbytes, seconds = 3e9, 7e8, 0.12
    achieved = flops / seconds * 1e-9
    assert CEILING.share(flops, nbytes, seconds) == pytest.approx(
        achieved / CEILING.attainable_gflops(flops / nbytes)
    )


def test_the_ceiling_of_this_machine_is_measured(monkeypatch):
    monkeypatch.setattr("pycnn.bench.ceilings.CPU_ORDER", 64)
    monkeypatch.setattr("pycnn.bench.ceilings.CPU_COPY", 1 << 16)
    ceiling = measure_ceiling("cpu", "float32", budget=1e-3)
    assert ceiling.gflops > 0
    assert ceiling.gbytes_per_s > 0
    assert Ceiling(**ceiling.as_json()) == ceiling


def test_the_gpu_at_hand_has_the_copy_speed_that_is_measured(monkeypatch):
    monkeypatch.setattr(ceilings, "copy_speed", lambda device, budget: (3000.0, ""))
    own, said = at_hand(gpu("h200"), {"name": "NVIDIA H200", "multiprocessors": 132})
    assert own.memory_gbps(1 / 2) == pytest.approx(3000)
    assert own.sms == 132
    assert "3000 GB/s, measured" in said[0]
    for key, here in (
        ("h200", None),
        ("h200", {"name": "NVIDIA H100 80GB HBM3", "multiprocessors": 132}),
        ("h100_pcie", {"name": "NVIDIA H100 80GB HBM3", "multiprocessors": 132}),
        ("l4", {"name": "NVIDIA L40", "multiprocessors": 142}),
    ):
        assert at_hand(gpu(key), here) == (gpu(key), [])
    rtx = {"name": "NVIDIA GeForce RTX 4090", "multiprocessors": 128}
    assert at_hand(gpu("rtx4090"), rtx)[1]
    monkeypatch.setattr(ceilings, "copy_speed", lambda device, budget: (None, "no limit by a copy"))
    same, said = at_hand(gpu("rtx4090"), rtx)
    assert (same, said) == (
        gpu("rtx4090"),
        ["the memory is that of the data file: no limit by a copy"],
    )


class OutOfMemoryError(Exception):
    """Named as CuPy's."""


def _speed(most):
    """A measurement that finds memory for `most` and no more; remembers what was tried."""
    tried = []

    def speed(size):
        tried.append(size)
        if size > most:
            raise OutOfMemoryError(f"out of memory allocating {size} bytes")
        return float(size)

    return speed, tried


def test_with_little_memory_a_smaller_array_serves_and_that_is_said():
    freed = []
    speed, tried = _speed(300)
    found = _largest("copy", speed, 1024, 100, lambda: freed.append(len(tried)))
    assert found == (256.0, "copy of 256, no memory for 1024")
    assert tried == [1024, 512, 256]
    assert freed == [1, 2, 3]  # before the next is tried, and after the last


def test_with_too_little_memory_there_is_no_limit_but_a_reason():
    speed, tried = _speed(10)
    value, note = _largest("copy", speed, 1024, 300, lambda: None)
    assert value is None
    assert note.startswith("no limit by a copy (OutOfMemoryError: out of memory allocating 512")
    assert tried == [1024, 512]


def test_a_library_that_is_missing_costs_the_limit_and_not_the_run(monkeypatch):
    def missing(*about):
        raise ImportError("libcublas.so.13: cannot open shared object file\nmore")

    monkeypatch.setattr("pycnn.bench.ceilings.CPU_COPY", 1 << 16)
    monkeypatch.setattr("pycnn.bench.ceilings._product_seconds", missing)
    ceiling = measure_ceiling("cpu", "float32", budget=1e-3)
    assert ceiling.gflops is None
    assert ceiling.gbytes_per_s > 0
    assert not ceiling.known
    assert ceiling.note == (
        "no limit by a product (ImportError: libcublas.so.13: cannot open shared object file)"
    )
    with pytest.raises(ValueError, match="libcublas"):
        ceiling.share(1, 1, 1)


@pytest.mark.parametrize("has_tf32", [True, False])
def test_a_product_in_tf32_is_one_only_where_there_is_tf32(monkeypatch, has_tf32):
    """CuPy warns and computes in float32 on a GPU without; that must not pass for TF32."""
    types = {"of": 1}
    stand_in = SimpleNamespace(
        COMPUTE_TYPE_TF32=7,
        get_compute_type=lambda dtype: types["of"],
        set_compute_type=lambda dtype, wanted: types.update(
            of=wanted if has_tf32 or wanted != 7 else 1
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cupy._core", SimpleNamespace(_routines_linalg=stand_in))
    if has_tf32:
        with _precision("tf32"):
            assert types["of"] == 7
    else:
        with pytest.raises(RuntimeError, match="no TF32"), _precision("tf32"):
            pass
    assert types["of"] == 1
    with _precision("float32"):
        assert types["of"] == 1
