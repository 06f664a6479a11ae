"""Values on a GPU, on a stand-in for CuPy whose kernels run when somebody waits for them.

The stand-in's arrays are NumPy's, and what is launched is queued until the device is synchronised;
then the emulator runs it. So what is raised before that was waited for.
"""

import ctypes
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pycnn
from pycnn.define import cache, values
from pycnn.runtime import faults
from pycnn.runtime.backends import executor, stand_in_executor


class DeviceArray:
    """Like cupy.ndarray, as far as a call looks; operators work on what is there now."""

    def __init__(self, shape: Any, dtype: Any = np.float32, memptr: Any = None) -> None:
        if memptr is None:
            self.host = np.zeros(shape, dtype)
        else:
            buffer = (ctypes.c_char * (np.dtype(dtype).itemsize * shape)).from_address(memptr.ptr)
            self.host = np.frombuffer(buffer, dtype)

    @classmethod
    def of(cls, values: Any) -> "DeviceArray":
        made = cls(0)
        made.host = np.array(values)
        return made

    def __getattr__(self, name: str) -> Any:
        if name == "__dlpack__":  # it would speak for an array of the host
            raise AttributeError(name)
        return getattr(self.host, name)

    def __ge__(self, other: Any) -> Any:
        return self.host >= other

    def __le__(self, other: Any) -> Any:
        return self.host <= other

    def __getitem__(self, places: Any) -> Any:
        return self.host[places]


class Pinned(ctypes.Array):
    """Like cupy.cuda.PinnedMemoryPointer: bytes of the host, and their address."""

    _type_, _length_ = ctypes.c_char, 16

    @property
    def ptr(self) -> int:
        return ctypes.addressof(self)


class Gpu:
    """The executor ``cuda``, which queues plans, and the part of CuPy that goes with it."""

    name = "cuda"

    def __init__(self) -> None:
        self.queue: list[tuple[Any, dict[str, Any]]] = []
        self.synchronised: list[int] = []
        self.current = 0
        self.cupy: Any = ModuleType("cupy")
        self.cupy.ndarray = DeviceArray
        self.cupy.cuda = SimpleNamespace(
            Device=self.device,
            MemoryPointer=lambda memory, offset: SimpleNamespace(ptr=memory.ptr + offset),
            UnownedMemory=lambda ptr, size, owner, device_id: SimpleNamespace(ptr=ptr),
            alloc_pinned_memory=lambda size: Pinned(),
            runtime=SimpleNamespace(
                getDevice=lambda: self.current,
                deviceSynchronize=self.synchronise,
                getDeviceProperties=lambda number: {"name": b"stand-in"},
                driverGetVersion=lambda: 13000,
            ),
        )

    def device(self, index: int) -> Any:
        gpu = self

        class Device:
            compute_capability, attributes = "80", {"MultiProcessorCount": 108}

            def __enter__(self) -> None:
                self.before, gpu.current = gpu.current, index

            def __exit__(self, *exc: object) -> None:
                gpu.current = self.before

        return Device()

    def run(self, plan: Any, arrays: Any, out: Any = None) -> dict[str, Any]:
        self.queue.append((plan, dict(arrays)))
        return {n: DeviceArray(s.shape, s.dtype) for n, s in plan.outputs.items()}

    def synchronise(self) -> None:
        self.synchronised.append(self.current)
        queue, self.queue = self.queue, []
        with pycnn.use_backend("emulator"):
            for plan, arrays in queue:
                host = {n: None if a is None else a.host for n, a in arrays.items()}
                executor("emulator").run(plan, host)

    def entries(self) -> list[str]:
        return [x.kernel.entry for plan, _ in self.queue for x in plan.launches]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_in = Gpu()
    monkeypatch.setitem(sys.modules, "cupy", stand_in.cupy)
    monkeypatch.setattr(faults, "_slots", [])
    monkeypatch.setattr(values, "_slots", {})
    cache.clear()  # cached calls know their slots
    status = {b.name: b for b in pycnn.backends()}
    if not status["emulator"].available:
        pytest.skip(status["emulator"].detail)
    available = SimpleNamespace(available=True)
    monkeypatch.setattr(faults, "backends", lambda: [available])
    with stand_in_executor("cuda", stand_in):
        yield stand_in
    cache.clear()


SCORES = DeviceArray.of(np.zeros((4, 3), np.float32))


def loss(*target: int, of: Any = pycnn.cross_entropy) -> Any:
    return of(SCORES, DeviceArray.of(target))


def test_a_call_waits_for_nothing_and_synchronize_raises_what_numpy_arrays_give(gpu: Gpu) -> None:
    loss(0, 5, 2, -1)
    assert gpu.entries() == ["check_integers", "cross_entropy_rows", "loss_finish"]
    assert gpu.synchronised == []
    with pytest.raises(ValueError, match="holds") as deferred:
        pycnn.synchronize()
    assert gpu.synchronised == [0]
    with pytest.raises(ValueError, match="holds") as at_once:
        pycnn.cross_entropy(SCORES.host, np.array([0, 5, 2, -1]))
    assert str(deferred.value) == f"cross_entropy: {at_once.value}"
    assert str(at_once.value) == "target holds -1; allowed: 0 to 2, and ignore_index=-100"


def test_what_was_found_is_raised_once_and_then_forgotten(gpu: Gpu) -> None:
    loss(0, 5, 2, 1)
    with pytest.raises(ValueError, match="target holds 5"):
        pycnn.synchronize()
    pycnn.synchronize()
    loss(0, 1, 2, -100)
    pycnn.synchronize()
    loss(0, 1, 2, 4)
    with pytest.raises(ValueError, match="target holds 4"):
        pycnn.synchronize()


def test_the_next_call_of_the_operation_raises_what_was_found_by_then(gpu: Gpu) -> None:
    loss(0, 5, 2, 1)
    loss(0, 1, 2, 1)  # the GPU has not come that far
    gpu.synchronise()
    with pytest.raises(ValueError, match="cross_entropy: target holds 5"):
        loss(0, 1, 2, 1)
    loss(0, 1, 2, 1)


def test_every_operation_that_found_something_is_named(gpu: Gpu) -> None:
    loss(0, 5, 2, 1)
    loss(0, 7, 2, 1, of=pycnn.nll_loss)
    with pytest.raises(ValueError, match=r"cross_entropy: .* holds 5.*; nll_loss: .* holds 7"):
        pycnn.synchronize()


def test_every_device_with_checks_is_waited_for(gpu: Gpu) -> None:
    loss(0, 1, 2, 1)
    gpu.current = 1
    loss(0, 1, 2, 5)
    gpu.current = 2
    with pytest.raises(ValueError, match="holds 5"):
        pycnn.synchronize()
    assert sorted(gpu.synchronised) == [0, 1, 2]
    assert gpu.current == 2


def test_the_same_check_has_one_slot_whatever_the_shapes(gpu: Gpu) -> None:
    loss(0, 1, 2, 1)
    pycnn.cross_entropy(DeviceArray.of(np.zeros((2, 3), np.float32)), DeviceArray.of([0, 1]))
    assert len(faults._slots) == 1


@pytest.mark.parametrize("scale", [0.0, -2.5, float("nan"), float("inf"), 1e-45])
def test_scales_are_looked_at_too(gpu: Gpu, scale: float) -> None:
    byte, one = np.zeros((), np.uint8), np.ones((), np.float32)
    pycnn.qlinear_conv2d(
        *map(DeviceArray.of, (np.zeros((1, 1, 3, 3), np.uint8), one, byte)),
        *map(DeviceArray.of, (np.zeros((1, 1, 3, 3), np.uint8), np.float32([1]), byte)),
        *map(DeviceArray.of, (np.full((), scale, np.float32), byte)),
    )
    assert gpu.entries()[:3] == ["check_floats"] * 3
    if scale == 1e-45:  # the least number above 0
        pycnn.synchronize()
        return
    with pytest.raises(ValueError, match=f"y_scale holds {scale}; allowed: finite"):
        pycnn.synchronize()


def test_sync_raises_at_the_call_and_launches_nothing(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCNN_CHECK_VALUES", "sync")
    with pytest.raises(ValueError, match=r"^target holds 5; allowed"):
        loss(0, 5, 2, 1)
    with pytest.raises(ValueError, match=r"^indices holds 30; allowed"):
        pooled(30)
    assert gpu.queue == []
    pooled(3)
    assert gpu.entries() == ["max_pool_planes_backward"]


def test_a_process_that_waits_for_nothing_says_what_was_wrong(
    gpu: Gpu, capsys: pytest.CaptureFixture[str]
) -> None:
    loss(0, 5, 2, 1)
    faults._report_at_exit()
    assert "cross_entropy: target holds 5; allowed" in capsys.readouterr().err
    faults._report_at_exit()
    assert capsys.readouterr().err == ""  # said once


def test_the_first_slot_has_the_end_of_the_process_report(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[Any] = []
    monkeypatch.setattr(faults, "_slots", [])
    monkeypatch.setattr(faults.atexit, "register", registered.append)
    for _ in range(2):
        faults.Slot(str)
    assert registered == [faults._report_at_exit]


def test_off_launches_the_operation_alone(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYCNN_CHECK_VALUES", "off")
    loss(0, 5, 2, 1)
    assert gpu.entries() == ["cross_entropy_rows", "loss_finish"]
    with pytest.raises(ValueError, match="target holds 5"):  # NumPy arrays are always looked at
        pycnn.cross_entropy(SCORES.host, np.array([0, 5, 2, 1]))


def pooled(index: int) -> Any:
    dy = DeviceArray.of(np.zeros((1, 1, 2, 2), np.float32))
    indices = DeviceArray.of(np.full((1, 1, 2, 2), index))
    return pycnn.max_pool2d_backward(dy, indices, (1, 1, 4, 4), 2)


def test_indices_that_kernels_pass_over_are_not_read_once_more(gpu: Gpu) -> None:
    pooled(99)
    assert gpu.entries() == ["max_pool_planes_backward"]


def test_without_a_gpu_there_is_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    pycnn.synchronize()
    assert "cupy" not in sys.modules
    unusable = ModuleType("cupy")  # as where there is no driver: any use would be an error
    monkeypatch.setitem(sys.modules, "cupy", unusable)
    monkeypatch.setattr(faults, "backends", lambda: [SimpleNamespace(available=False)])
    pycnn.synchronize()


def test_cupy_has_what_the_stand_in_has() -> None:
    """CuPy's own: memory of the host in the form that a slot takes it."""
    real = pytest.importorskip("cupy", reason="CuPy is not installed (extra cuda13 or cuda12)")
    assert callable(real.cuda.alloc_pinned_memory)
    assert callable(real.cuda.runtime.deviceSynchronize)
    assert hasattr(real.cuda.PinnedMemoryPointer, "ptr")
    words = np.array(faults.NOTHING, np.uint64)
    memory = real.cuda.UnownedMemory(words.ctypes.data, 16, words, device_id=0)
    array = real.ndarray(2, np.uint64, memptr=real.cuda.MemoryPointer(memory, 0))
    assert array.data.ptr == words.ctypes.data
    assert array.data.device_id == 0
