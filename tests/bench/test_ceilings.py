"""Roofline arithmetic, against values worked out by hand."""

import pytest

from pycnn.bench.ceilings import Ceiling, measure_ceiling

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
