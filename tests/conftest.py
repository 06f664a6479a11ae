"""One test body, every backend: the `backend` fixture and what it needs.

``PYCNN_TEST_BACKENDS`` (comma-separated) limits the run: tests on other backends are left out. With
``--only-backends`` so are tests that run on no backend, as on a GPU, where the others tell nothing.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import pycnn
from pycnn.dtypes import FLOATS
from pycnn.emulator.ptx import module
from pycnn.runtime import nvrtc, workers
from pycnn.runtime.backends import backends
from pycnn.runtime.extras import MissingExtra, install
from pycnn.runtime.route import resolved

#: A kernel of ours whose threads write one value unordered has written it by chance.
os.environ.setdefault("PYCNN_SAME_VALUE_RACES", "1")

#: Choices that somebody measured on this machine are none that tests know of.
os.environ["PYCNN_TUNED"] = "/nowhere/tuned.json"

# A shell in the background has its children ignore Ctrl-C, and then so does Python.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: What `make test` compiles; other backends compile nothing, or on a GPU.
COMPILED = {"emulator": ("float32",), "checked": ("float32", "float16")}
_standin = sys.modules.get("pycnn_standin")
if _standin is not None and _standin.running():  # no GPU: `cuda` ends in the emulator too
    COMPILED["cuda"] = COMPILED["emulator"]
ALL = ("reference", "emulator", "checked", "cuda")

#: What is said of a kernel that the emulator does not run by the source.
BY_PTX = "allowed: via='ptx'"

#: Bytes from which on an array is not copied whole to a GPU, and memory goes back after a test.
HUGE = 2**30
SELECTED = tuple(filter(None, os.environ.get("PYCNN_TEST_BACKENDS", ",".join(ALL)).split(",")))


@dataclass(frozen=True)
class Backend:
    """How a test puts arrays on a backend and gets them back."""

    name: str
    array: Callable[[np.ndarray], object]
    numpy: Callable[[object], np.ndarray]

    def views(self, *arrays: np.ndarray | None) -> list:
        return [None if a is None else self.array(a) for a in arrays]


def _cuda() -> Backend:
    import cupy

    return Backend("cuda", _to_cupy, cupy.asnumpy)


def _to_cupy(array: np.ndarray) -> object:
    """The same strided view on the device, not a contiguous copy of it."""
    import cupy

    base = array
    while base.base is not None and isinstance(base.base, np.ndarray):
        base = base.base
    if base is array or array.size == 0 or not base.flags.c_contiguous:
        return cupy.asarray(array)
    if base.nbytes > HUGE:
        return _sparse_on_device(array, base)
    whole = cupy.asarray(base)
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    pointer = whole.data + offset
    return cupy.ndarray(array.shape, array.dtype, pointer, strides=array.strides)


def _sparse_on_device(array: np.ndarray, base: np.ndarray) -> object:
    """A view of few elements of gigabytes, of which nothing else is copied."""
    import cupy

    try:
        memory = cupy.empty(base.nbytes, np.uint8).data
    except cupy.cuda.memory.OutOfMemoryError as error:
        pytest.skip(f"an array of 2^31 elements does not fit into the GPU: {error}")
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    view = cupy.ndarray(array.shape, array.dtype, memory + offset, strides=array.strides)
    view[...] = cupy.asarray(np.ascontiguousarray(array))
    return view


@pytest.fixture(params=[name for name in ALL if name in SELECTED])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn; ``checked`` is the emulator's checked build."""
    name: str = request.param
    if request.node.get_closest_marker("exhaustive"):  # all kernels as LLVM optimises them, too
        request.getfixturevalue("monkeypatch").setattr(module, "MANY", 0)
    if name == "cuda":
        yield _cuda()
        _settle(request.config)
        return
    selected = "reference" if name == "reference" else "emulator"
    with pycnn.use_backend(selected, checked=name == "checked"):
        yield Backend(name, lambda a: a, lambda a: a)


def _settle(config: pytest.Config) -> None:
    """Errors of a launch belong to the test that launched, and so does its memory.

    After some of them, such as an access out of bounds, CUDA refuses everything in this process: it
    ends. pytest-xdist puts another one in its place; without it the run ends here.
    """
    import cupy

    runtime, pool = cupy.cuda.runtime, cupy.get_default_memory_pool()
    if pool.total_bytes() > HUGE:
        pool.free_all_blocks()
    try:
        runtime.deviceSynchronize()
    except runtime.CUDARuntimeError as error:
        if _works(runtime):
            raise
        if hasattr(config, "workerinput"):
            os._exit(3)
        pytest.exit(f"the GPU is lost to this process: {error}", returncode=3)


def _works(runtime: ModuleType) -> bool:
    try:
        runtime.deviceSynchronize()
    except runtime.CUDARuntimeError:
        return False
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """By the source there are no tensor cores: tests of theirs are skipped, and say why."""
    try:
        return (yield)
    except Exception as error:
        if resolved() == "source" and BY_PTX in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is compiled and computed goes into a folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PYCNN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def needs_nvrtc() -> None:
    try:
        nvrtc.version()
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    """Of two Dask workers."""
    pytest.importorskip("distributed", reason=f"distributed is not installed; {install('sweep')}")
    with workers.local(workers.of_workers(2, [], 2)) as two:
        yield two


def absent() -> dict[str, str]:
    """Backends that this machine lacks, and why."""
    missing = {b.name: b.detail for b in backends() if not b.available}
    return missing | ({"checked": missing["emulator"]} if "emulator" in missing else {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Thousands of tests that cannot run here are told of in one line a backend."""
    for name, reason in absent().items():
        terminalreporter.write_line(f"NOT RUN on {name}, which is not available here: {reason}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-backends", action="store_true", help="leave out tests that run on no backend"
    )


def _parameter(item: pytest.Item, name: str) -> object:
    return getattr(getattr(item, "callspec", None), "params", {}).get(name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and mark what `make test` leaves out.

    Compiling kernels takes most of the time of the tests.
    The emulator's fast build runs float32, the checked one float32 and float16. bfloat16 differs
    from float16 in its conversions alone, float64 from float32 in the length of vectors. `make
    test-all` runs the rest.
    """
    wanted = {name for name in SELECTED if name not in absent()}
    if not config.getoption("--only-backends"):
        wanted |= {None}
    out = [item for item in items if _parameter(item, "backend") not in wanted]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if _parameter(item, "backend") in wanted]
    for item in items:
        backend, problem = _parameter(item, "backend"), _parameter(item, "problem")
        dtype = getattr(problem, "dtype", _parameter(item, "dtype"))
        if dtype is not None and dtype not in COMPILED.get(str(backend), FLOATS):
            item.add_marker(pytest.mark.exhaustive)
