"""The executor ``cuda`` on a stand-in for CuPy: this file needs no GPU, and proves nothing of one.

The stand-in keeps "device" memory in NumPy arrays and records what would be launched. What it has
is held against CuPy's own binaries where CuPy is installed, with a GPU or without. On a GPU the
tests of the operations run with the backend ``cuda`` and check the numbers.
"""

import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pycnn.runtime import cuda, target
from pycnn.runtime.plan import ArraySpec, Buffer, Kernel, Launch, Plan, Transform

PARAMS = np.dtype([("stride", np.int64), ("n", np.int32), ("m", np.int32)])


class Pointer:
    """Like cupy.cuda.MemoryPointer: an address that can be moved, and its device."""

    def __init__(self, ptr: int, device_id: int) -> None:
        self.ptr, self.device_id = ptr, device_id

    def __add__(self, offset: int) -> "Pointer":
        return Pointer(self.ptr + offset, self.device_id)


class DeviceArray:
    """Like cupy.ndarray, as far as the executor looks."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, device_id: int = 0) -> None:
        self.host = np.empty(shape, dtype)
        self.data = Pointer(self.host.ctypes.data, device_id)


class CPointer:
    """Like cupy.cuda.function.CPointer: the address of a kernel argument's bytes."""

    def __init__(self, p: int = 0) -> None:
        self.ptr = p

    def bytes(self, count: int) -> bytes:
        return ctypes.string_at(self.ptr, count)


class RawKernel:
    """Like cupy.RawKernel made from a cubin."""

    def __init__(self, cubin: str, name: str, log: list, static: int) -> None:
        self.cubin, self.name, self.log = cubin, name, log
        self.shared_size_bytes = static
        self.max_dynamic_shared_size_bytes = 48 * 1024 - static
        self.asked = 0

    @property
    def kernel(self) -> Callable[..., None]:
        """Like cupy.cuda.Function, looked up for the current device."""
        self.asked += 1
        return self.launch

    def launch(
        self, grid: Any, block: Any, args: Any, shared_mem: int = 0, stream: Any = None
    ) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert stream is None  # CuPy's current one
        self.log.append(SimpleNamespace(function=self, grid=grid, block=block,
                                        args=list(args), shared=shared_mem))  # fmt: skip


class FakeCuPy:
    """The part of CuPy that the executor uses, with settable devices."""

    __version__ = "0 (stand-in)"

    def __init__(self) -> None:
        self.launched: list[SimpleNamespace] = []
        self.loaded: list[tuple[str, str]] = []
        self.allocated: list[DeviceArray] = []
        self.pieces: list[tuple[int, Pointer]] = []
        self.current, self.count, self.static = 0, 1, 0
        self.cuda = SimpleNamespace(
            Device=lambda index: SimpleNamespace(
                compute_capability=("90", "86")[index], attributes={"MultiProcessorCount": 132}
            ),
            runtime=SimpleNamespace(
                getDevice=lambda: self.current,
                getDeviceCount=lambda: self.count,
                driverGetVersion=lambda: 13020,
                getDeviceProperties=lambda index: {"name": b"Imaginary GPU"},
                CUDARuntimeError=RuntimeError,
            ),
            function=SimpleNamespace(CPointer=CPointer),
            alloc=self.alloc,
        )

    def RawModule(self, *, path: str) -> SimpleNamespace:
        def get_function(name: str) -> RawKernel:
            self.loaded.append((path, name))
            return RawKernel(path, name, self.launched, self.static)

        return SimpleNamespace(get_function=get_function)

    def alloc(self, size: int) -> Pointer:
        self.pieces.append((size, Pointer(2**20 * len(self.pieces), self.current)))
        return self.pieces[-1][1]

    def ndarray(self, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        self.allocated.append(DeviceArray(shape, dtype, self.current))
        return self.allocated[-1]


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> FakeCuPy:
    fake = FakeCuPy()
    monkeypatch.setattr(cuda, "_cupy", lambda: fake)
    monkeypatch.setattr(
        cuda.nvrtc,
        "compile_kernel",
        lambda file, arch, defines: Path(f"/cubins/{file}-{arch}-{dict(defines)}"),
    )
    return fake


def a_plan(shared: int = 0, entry: str = "k") -> Plan:
    kernel = Kernel("f/k.cu", entry, (("SCALAR", "float"),))
    params = np.array((5, 6, 7), PARAMS)[()]
    args = (
        Buffer("x"),
        Buffer("y", 16),
        Buffer("scratch"),
        Buffer("scratch", 8),
        None,
        np.float32(0.5),
        params,
    )
    return Plan(
        op="test",
        algo="only",
        launches=(
            Launch(kernel, (3, 2, 1), (32, 4, 1), args, shared),
            Launch(kernel, (1, 1, 1), (64, 1, 1), (Buffer("y"), np.int64(-1)), 0),
        ),
        outputs={"y": ArraySpec((2, 5), np.dtype("f4"))},
        workspace={"scratch": ArraySpec((7,), np.dtype("f8"))},
    )


def test_a_launch_gets_pointers_with_offsets_nulls_and_packed_scalars(cupy: FakeCuPy) -> None:
    x = DeviceArray((4,), "f4")
    results = cuda.CudaExecutor().run(a_plan(), {"x": x})
    assert list(results) == ["y"]
    [y], [(size, scratch)] = cupy.allocated, cupy.pieces
    assert results["y"] is y
    assert (y.host.shape, y.host.dtype) == ((2, 5), np.dtype("f4"))
    assert size == 56
    first, second = cupy.launched
    assert (first.grid, first.block, first.shared) == ((3, 2, 1), (32, 4, 1), 0)
    assert first.args[0] is x
    assert first.args[1].ptr == y.data.ptr + 16
    assert first.args[2] is scratch
    assert first.args[3].ptr == scratch.ptr + 8
    for value, bytes_expected in (
        (first.args[4], 8 * b"\0"),
        (first.args[5], np.float32(0.5).tobytes()),
        (first.args[6], b"\5" + 7 * b"\0" + b"\6" + 3 * b"\0" + b"\7" + 3 * b"\0"),
        (second.args[1], 8 * b"\xff"),
    ):
        assert isinstance(value, CPointer)  # what CuPy need not pack
        assert value.bytes(len(bytes_expected)) == bytes_expected


class OnDevice(np.ndarray):
    """An array with values and a device address, for the library's own transforms."""

    @property
    def data(self) -> Pointer:  # type: ignore[override]
        return Pointer(self.ctypes.data, 0)


def test_a_transform_gives_the_kernels_behind_it_what_the_library_made(cupy: FakeCuPy) -> None:
    made: list[np.ndarray] = []

    def rfft2(images: np.ndarray, **options: Any) -> np.ndarray:
        made.append(np.fft.rfft2(images, **options).view(OnDevice))
        return made[-1]

    cupy.fft = SimpleNamespace(rfft2=rfft2)  # type: ignore[attr-defined]
    images, spectra = Buffer("images"), Buffer("spectra")
    plan = Plan(
        op="test",
        algo="fft",
        launches=(
            Transform("rfft2", (images, spectra), (2, 3, 4), "float32"),
            Launch(Kernel("f/k.cu", "k"), (1, 1, 1), (32, 1, 1), (spectra, Buffer("y"))),
        ),
        outputs={"y": ArraySpec((2,), np.dtype("f4"))},
        workspace={"spectra": ArraySpec((36,), np.dtype("f4"))},
    )
    given = np.arange(30, dtype="f4").view(OnDevice)  # with room for more than two images
    cuda.CudaExecutor().run(plan, {"images": given})
    assert [a.host.shape for a in cupy.allocated] == [(2,)]  # the spectra are the library's
    [launch], [spectrum] = cupy.launched, made
    assert spectrum.dtype == np.complex64
    assert launch.args[0].ctypes.data == spectrum.ctypes.data
    np.testing.assert_allclose(spectrum[:, 0, 0].real, [66.0, 210.0])  # the sums of the images


def test_given_outputs_are_written_and_not_allocated(cupy: FakeCuPy) -> None:
    y = DeviceArray((2, 5), "f4")
    results = cuda.CudaExecutor().run(a_plan(), {"x": DeviceArray((4,), "f4")}, {"y": y})
    assert results["y"] is y
    assert cupy.allocated == []
    assert [size for size, _ in cupy.pieces] == [56]
    assert cupy.launched[1].args[0] is y


def test_kernels_are_loaded_once_and_compiled_for_the_device(cupy: FakeCuPy) -> None:
    executor, plan = cuda.CudaExecutor(), a_plan()
    for _ in range(3):
        executor.run(plan, {"x": DeviceArray((4,), "f4")})
    executor.run(a_plan(), {"x": DeviceArray((4,), "f4")})  # another plan with the same kernel
    assert cupy.loaded == [("/cubins/f/k.cu-sm_90a-{'SCALAR': 'float'}", "k")]
    cupy.current = 1
    executor.run(plan, {"x": DeviceArray((4,), "f4", device_id=1)})
    assert cupy.loaded[1:] == [("/cubins/f/k.cu-sm_86-{'SCALAR': 'float'}", "k")]
    assert len(cupy.launched) == 10


def test_what_does_not_change_is_packed_and_looked_up_once(cupy: FakeCuPy) -> None:
    executor, plan = cuda.CudaExecutor(), a_plan()
    for _ in range(3):
        executor.run(plan, {"x": DeviceArray((4,), "f4")})
    constants = [[a for a in launch.args if isinstance(a, CPointer)] for launch in cupy.launched]
    assert [len(c) for c in constants] == [3, 1] * 3
    assert constants[0] == constants[2] == constants[4]  # the very same objects
    assert {launch.function.asked for launch in cupy.launched} == {2}  # a plan has two launches


def test_an_output_is_new_even_where_an_input_has_its_name(cupy: FakeCuPy) -> None:
    x, given = DeviceArray((4,), "f4"), DeviceArray((2, 5), "f4")
    y = cuda.CudaExecutor().run(a_plan(), {"x": x, "y": given})["y"]
    assert y is not given
    assert cupy.launched[1].args[0] is y


def test_a_launch_with_one_argument_gets_it_alone(cupy: FakeCuPy) -> None:
    launch = Launch(Kernel("f/k.cu", "k"), (1, 1, 1), (32, 1, 1), (Buffer("y"),))
    plan = Plan("test", "only", (launch,), {"y": ArraySpec((2,), np.dtype("f4"))})
    y = cuda.CudaExecutor().run(plan, {})["y"]
    assert cupy.launched[0].args == [y]


def test_a_plan_that_is_gone_leaves_nothing_bound(cupy: FakeCuPy) -> None:
    executor = cuda.CudaExecutor()
    executor.run(a_plan(), {"x": DeviceArray((4,), "f4")})
    gc.collect()
    assert len(executor._bound) == 0


@pytest.mark.parametrize(
    ("static", "shared", "limit"),
    [
        (0, 48 * 1024, 48 * 1024),  # what every block may have: nothing to ask for
        (0, 48 * 1024 + 4, 48 * 1024 + 4),
        (1024, 48 * 1024, 48 * 1024),  # with static shared memory the default is less
        (1024, 47 * 1024, 47 * 1024),
    ],
)
def test_more_shared_memory_than_the_default_is_asked_for(
    cupy: FakeCuPy, static: int, shared: int, limit: int
) -> None:
    cupy.static = static
    cuda.CudaExecutor().run(a_plan(shared), {"x": DeviceArray((4,), "f4")})
    assert cupy.launched[0].shared == shared
    assert cupy.launched[0].function.max_dynamic_shared_size_bytes == limit


def test_a_smaller_plan_does_not_lower_the_limit_of_a_larger_one(cupy: FakeCuPy) -> None:
    executor, large = cuda.CudaExecutor(), a_plan(shared=90_000)
    executor.run(large, {"x": DeviceArray((4,), "f4")})
    executor.run(a_plan(shared=60_000), {"x": DeviceArray((4,), "f4")})
    executor.run(large, {"x": DeviceArray((4,), "f4")})
    assert cupy.launched[-2].shared == 90_000


def test_a_smaller_plan_of_another_thread_does_not_lower_it_either(
    cupy: FakeCuPy, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, large, small = cuda.CudaExecutor(), a_plan(shared=90_000), a_plan(shared=60_000)
    arrays = {"x": DeviceArray((4,), "f4")}
    executor.run(a_plan(), arrays)  # the function is loaded
    read, done = threading.Event(), threading.Event()

    def slow(kernel: RawKernel) -> int:
        limit: int = vars(kernel).get("limit", 48 * 1024)
        if threading.current_thread() is not threading.main_thread():
            read.set()
            done.wait(0.2)  # as long as that where the other thread waits for this one
        return limit

    limits = property(slow, lambda kernel, limit: vars(kernel).update(limit=limit))
    monkeypatch.setattr(RawKernel, "max_dynamic_shared_size_bytes", limits, raising=False)
    thread = threading.Thread(target=executor.run, args=(small, arrays))
    thread.start()
    assert read.wait(10)
    executor.run(large, arrays)
    done.set()
    thread.join()
    executor.run(large, arrays)


@pytest.mark.parametrize("name", ["x", "y"])
def test_an_array_on_another_device_is_refused_before_anything_runs(
    cupy: FakeCuPy, name: str
) -> None:
    cupy.count = 2
    arrays = {"x": DeviceArray((4,), "f4"), "y": DeviceArray((2, 5), "f4")}
    arrays[name].data.device_id = 1
    with pytest.raises(ValueError, match=f"{name} is on device 1, but the current device is 0"):
        cuda.CudaExecutor().run(a_plan(), {"x": arrays["x"]}, {"y": arrays["y"]})
    assert cupy.launched == []
    assert cupy.allocated == []
    assert cupy.pieces == []


def test_a_plan_without_launches_still_gives_its_output(cupy: FakeCuPy) -> None:
    plan = Plan("test", "empty", (), {"y": ArraySpec((0, 5), np.dtype("f4"))})
    assert cuda.CudaExecutor().run(plan, {})["y"].host.shape == (0, 5)
    assert cupy.launched == []


@pytest.mark.parametrize(
    ("capability", "arch"),
    [("75", "sm_75"), ("89", "sm_89"), ("90", "sm_90a"), ("100", "sm_100a"), ("120", "sm_120")],
)
def test_the_architecture_of_a_device(capability: str, arch: str) -> None:
    assert target.arch_of(capability) == arch


def test_cupy_has_what_the_stand_in_has() -> None:
    """CuPy's own binaries take a `CPointer` as it is and read an argument where it points."""
    real = pytest.importorskip("cupy", reason="CuPy is not installed (extra cuda13 or cuda12)")
    function = real.cuda.function
    assert issubclass(function.CNumpyArray, function.CPointer)  # what it packs itself is one too
    packed = np.array(np.float32(0.5))
    assert isinstance(function.CPointer(packed.ctypes.data), function.CPointer)
    for name in ("kernel", "shared_size_bytes", "max_dynamic_shared_size_bytes"):
        assert hasattr(real.RawKernel, name)
    # grid, block, args, shared_mem, stream: in this order, and no others are necessary.
    unbound = function.Function.__new__(function.Function)
    with pytest.raises(TypeError, match="tuple"):
        unbound([1, 1, 1], (1, 1, 1), (), 0)
    memory = real.cuda.UnownedMemory(packed.ctypes.data, packed.nbytes, packed, device_id=0)
    array = real.ndarray((1,), np.float32, memptr=real.cuda.MemoryPointer(memory, 0))
    assert (array.data + 4).ptr == packed.ctypes.data + 4
    assert not hasattr(array.data, "data")  # a piece of memory is a pointer, an array has one
    assert callable(real.cuda.alloc)
    assert array.data.device_id == 0

    class Stream:
        ptr = 0

    with pytest.raises(TypeError, match="ndarrays of size one"):
        unbound((1, 1, 1), (1, 1, 1), (array, function.CPointer(), np.zeros(2)), 0, Stream)


def test_a_plan_bound_to_arrays_costs_no_python_call_of_its_own(cupy):
    """And passes what `run` passes: the same bytes, and addresses in place of arrays."""
    plan = a_plan()
    executor = cuda.CudaExecutor()
    arrays = {
        "x": DeviceArray((2,), np.float32),
        "y": DeviceArray((8,), np.float32),
        "scratch": DeviceArray((16,), np.float32),
    }
    steps = executor.bound(plan, arrays)
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(frame) if event == "call" else None)
    try:
        for step in steps:
            step()
    finally:
        sys.setprofile(None)
    assert [frame.f_code for frame in calls] == [RawKernel.launch.__code__] * len(plan.launches)
    launch = cupy.launched[0]
    at = {name: array.data.ptr for name, array in arrays.items()}
    addresses = [at["x"], at["y"] + 16, at["scratch"], at["scratch"] + 8, 0]
    gc.collect()
    assert [int.from_bytes(a.bytes(8), "little") for a in launch.args[:5]] == addresses
    assert launch.args[5].bytes(4) == np.float32(0.5).tobytes()
    assert launch.args[6].bytes(PARAMS.itemsize) == np.array((5, 6, 7), PARAMS).tobytes()


def test_steps_are_captured_on_a_stream_of_their_own(cupy):
    said = []

    class Stream:
        def __init__(self, non_blocking: bool) -> None:
            assert non_blocking  # the default stream cannot be captured

        def __enter__(self) -> "Stream":
            said.append("enter")
            return self

        def __exit__(self, *error: object) -> None:
            said.append("exit")

        def begin_capture(self) -> None:
            said.append("begin")

        def end_capture(self) -> str:
            said.append("end")
            return "the graph"

    cupy.cuda.Stream = Stream
    graph = cuda.CudaExecutor().captured([lambda: said.append("one"), lambda: said.append("two")])
    assert graph == "the graph"
    assert said == ["enter", "begin", "one", "two", "end", "exit"]
