"""The path of a GPU, with NumPy standing in for CuPy: that its calls fit together, no more."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from pycnn.bench import ceilings
from pycnn.bench.cases import MapCase
from pycnn.bench.contestants import of_pycnn
from pycnn.bench.measure import CudaClock
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import QUICK, plan_rounds, run
from pycnn.bench.suites import Layer


class Event:
    """An event of a device that works at once."""

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        assert self.at


@pytest.fixture
def cupy(monkeypatch):
    def elapsed(begin, end):
        return (end.at - begin.at) * 1e3

    cuda = SimpleNamespace(Event=Event, get_elapsed_time=elapsed)
    stand_in = SimpleNamespace(**vars(np), asnumpy=np.asarray, cuda=cuda)
    stand_in.ndarray = type("NoArrayOfCuPy", (), {})
    monkeypatch.setitem(sys.modules, "cupy", stand_in)


def test_a_contestant_on_the_gpu_is_timed_warm_and_cold(cupy, monkeypatch):
    monkeypatch.setattr("pycnn.bench.contestants.FLUSH_BYTES", 64)
    relu, case = OPERATIONS["relu"], MapCase(2, 3, 5, 7)

    def contestants(case, direction, dtype):
        return of_pycnn("cuda", relu, case, direction, dtype)

    layers = [Layer("relu", case)]
    rounds = plan_rounds("", relu, layers, ["forward"], ["float32"], contestants)
    ceiling = ceilings.Ceiling("cuda", "float32", 1e3, 1e2)
    ((record, _),) = run(rounds, QUICK, {("cuda", "float32"): ceiling})
    assert (record.backend, record.status, record.reason) == ("cuda", "timed", "")
    assert record.time_ms > 0
    assert record.time_cold_ms > 0
    assert record.bound == "memory"


def test_its_ceilings_are_measured(cupy, monkeypatch):
    monkeypatch.setattr(ceilings, "CUDA_ORDER", 32)
    monkeypatch.setattr(ceilings, "CUDA_COPY", 4096)
    ceiling = ceilings.measure_ceiling("cuda", "float32", budget=1e-3)
    assert (ceiling.device, ceiling.gflops > 0, ceiling.gbytes_per_s > 0) == ("cuda", True, True)


def test_time_is_what_lies_between_two_events():
    happened = []

    class Recorder:
        def record(self):
            happened.append("record")

        def synchronize(self):
            happened.append("wait")

    clock = CudaClock(Recorder, lambda begin, end: 6.0)
    assert clock.seconds(lambda: happened.append("call"), 2) == pytest.approx(6e-3)
    assert happened == ["record", "call", "call", "record", "wait"]
