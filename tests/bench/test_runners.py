"""pycnn's own runners on the kernels themselves."""

import numpy as np
import pytest

import pycnn
from pycnn.bench.cases import MapCase
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import QUICK, plan, run
from pycnn.bench.runners import of_pycnn
from pycnn.bench.suites import Layer

CASE = MapCase(3, 5, 7, 11)


def _need(backend):
    status = {b.name: b for b in pycnn.backends()}[backend]
    if not status.available:
        pytest.skip(f"{backend} is not available here: {status.detail}")


def _record(backend):
    _need(backend)
    relu = OPERATIONS["relu"]

    def runners(case, direction, dtype):
        return of_pycnn(backend, relu, case, direction, dtype)

    benchmarks = plan("", relu, [Layer("relu", CASE)], ["forward"], ["float32"], runners)
    ((record, _),) = run(benchmarks, QUICK, {})
    return record


def test_the_reference_backend_is_checked_and_timed():
    record = _record("reference")
    assert (record.status, record.backend, record.max_abs_error) == ("timed", "reference", 0.0)


def test_the_emulator_gives_a_verdict_and_counts_traffic():
    record = _record("emulator")
    assert (record.status, record.time_ms) == ("checked", None)
    nbytes = 4 * 3 * 5 * 7 * 11  # each element is read once and written once
    assert record.counters["global_bytes_read"] >= nbytes
    assert record.counters["global_bytes_written"] == nbytes


def test_the_gpu_is_checked_and_timed_warm_and_cold():
    record = _record("cuda")
    assert (record.status, record.max_abs_error) == ("timed", 0.0)
    assert record.time_cold_ms > 0


def test_a_backend_is_active_only_while_its_contestant_runs():
    _need("emulator")
    (runner,) = of_pycnn("emulator", OPERATIONS["relu"], CASE, "forward", "float32")
    before = pycnn.active_backend()
    with runner.active():
        assert pycnn.active_backend() == "emulator"
        pycnn.relu(np.ones(3, np.float32))
    assert pycnn.active_backend() == before
    assert runner.counters()["global_store_requests"] == 1
