"""The path of a GPU, with NumPy standing in for CuPy: that its calls fit together, no more."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from pycnn.bench import ceilings, measure
from pycnn.bench.cases import MapCase
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import QUICK, plan, run
from pycnn.bench.runners import of_pycnn
from pycnn.bench.suites import Layer
from pycnn.runtime import nvrtc
from pycnn.runtime.extras import MissingExtra


class Gpu:
    """A device that computes at once, and is busy only while a filler runs."""

    def __init__(self):
        self.free_at, self.current, self.spun_on, self.recorded_on, self.freed = 0.0, 0, [], [], 0

    def kernel(self, source, name):
        def launch(grid, block, arguments):
            assert (grid, block, name) == ((1,), (1,), "spin")
            (nanoseconds,) = arguments
            assert nanoseconds.dtype == np.uint64
            self.free_at = max(self.free_at, time.perf_counter()) + float(nanoseconds) * 1e-9
            self.spun_on.append(self.current)

        assert f"void {name}(" in source
        return launch

    def stream(self, handle):
        return Stream(self, handle)

    def event(self):
        return Event(self)

    def free_all_blocks(self):
        self.freed += 1


class Stream:
    def __init__(self, gpu, handle):
        self.gpu, self.handle = gpu, handle

    def __enter__(self):
        self.before, self.gpu.current = self.gpu.current, self.handle

    def __exit__(self, *about):
        self.gpu.current = self.before


class Event:
    def __init__(self, gpu):
        self.gpu = gpu

    def record(self, stream):
        self.at = max(time.perf_counter(), self.gpu.free_at)
        self.gpu.free_at = self.at + 1e-6
        self.gpu.recorded_on.append(stream.handle)

    @property
    def done(self):
        return time.perf_counter() >= self.at

    def synchronize(self):
        while not self.done:
            pass


@pytest.fixture
def gpu(monkeypatch):
    gpu = Gpu()
    cuda = SimpleNamespace(
        Event=gpu.event,
        ExternalStream=gpu.stream,
        get_current_stream=lambda: gpu.stream(5),
        get_elapsed_time=lambda begin, end: (end.at - begin.at) * 1e3,
    )
    stand_in = SimpleNamespace(**vars(np), asnumpy=np.asarray, cuda=cuda, RawKernel=gpu.kernel)
    stand_in.ndarray = type("NoArrayOfCuPy", (), {})
    stand_in.get_default_memory_pool = lambda: gpu
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    return gpu


def test_a_contestant_on_the_gpu_is_timed_warm_and_cold(gpu, monkeypatch):
    monkeypatch.setattr("pycnn.bench.runners.FLUSH_BYTES", 64)
    relu, case = OPERATIONS["relu"], MapCase(2, 3, 5, 7)

    def runners(case, direction, dtype):
        return of_pycnn("cuda", relu, case, direction, dtype)

    layers = [Layer("relu", case)]
    benchmarks = plan("", relu, layers, ["forward"], ["float32"], runners)
    ceiling = ceilings.Ceiling("cuda", "float32", 1e3, 1e2)
    ((record, _),) = run(benchmarks, QUICK, {("cuda", "float32"): ceiling})
    assert (record.backend, record.status, record.reason) == ("cuda", "timed", "")
    assert record.queued
    assert 0 < record.time_ms < record.host_ms  # the stand-in computes while it is being asked
    assert record.time_cold_ms > 0
    assert record.bound == "memory"
    assert gpu.freed == 1


def test_a_contestant_that_fails_and_a_pool_that_does_keep_the_record(gpu, monkeypatch):
    def broken():
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(gpu, "free_all_blocks", broken)
    monkeypatch.setattr(type(OPERATIONS["relu"]), "run", lambda *about: broken())
    relu, layers = OPERATIONS["relu"], [Layer("relu", MapCase(2, 3, 5, 7))]

    def runners(case, direction, dtype):
        return of_pycnn("cuda", relu, case, direction, dtype)

    benchmarks = plan("", relu, layers, ["forward"], ["float32"], runners)
    ((record, _),) = run(benchmarks, QUICK, {})
    assert (record.status, "illegal" in record.reason) == ("failed", True)


def test_its_ceilings_are_measured_and_their_memory_is_given_back(gpu, monkeypatch):
    monkeypatch.setattr(ceilings, "CUDA_ORDER", 32)
    monkeypatch.setattr(ceilings, "CUDA_COPY", 4096)
    ceiling = ceilings.measure_ceiling("cuda", "float32", budget=1e-3)
    assert (ceiling.device, ceiling.gflops > 0, ceiling.gbytes_per_s > 0) == ("cuda", True, True)
    assert ceiling.note == ""
    assert gpu.freed == 2


def test_our_clock_fills_and_records_the_current_stream(gpu):
    sample = measure.cupy_clock().sample(lambda: None, 1)
    assert sample.queued
    assert set(gpu.spun_on) == set(gpu.recorded_on) == {5}


def test_the_clock_of_pytorch_is_the_same_on_its_own_stream(gpu, monkeypatch):
    stream = SimpleNamespace(cuda_stream=7)
    torch = SimpleNamespace(cuda=SimpleNamespace(current_stream=lambda: stream))
    monkeypatch.setitem(sys.modules, "torch", torch)
    clock = measure.torch_clock()
    assert type(clock) is type(measure.cupy_clock())
    assert clock.sample(lambda: None, 1).queued
    assert set(gpu.spun_on) == set(gpu.recorded_on) == {7}


def test_the_filler_compiles():
    try:
        archs = nvrtc.supported_archs()
    except MissingExtra as lack:
        pytest.skip(str(lack))
    for arch in (archs[0], archs[-1]):
        assert nvrtc.compile_text(measure.CupyQueue.SPIN, "spin.cu", arch).cubin
