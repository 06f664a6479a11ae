"""One test body, every backend: the `backend` fixture and what it needs.

``PYCNN_TEST_BACKENDS`` (comma-separated) limits the run, e.g. to ``cuda`` under compute-sanitizer.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

import pycnn
from pycnn.dtypes import FLOATS
from pycnn.runtime.backends import backends

#: What `make test` compiles; other backends compile nothing, or on a GPU.
COMPILED = {"emulator": ("float32",), "checked": ("float32", "float16")}
_standin = sys.modules.get("pycnn_standin")
if _standin is not None and _standin.running():  # no GPU: `cuda` ends in the emulator too
    COMPILED["cuda"] = COMPILED["emulator"]
ALL = ("reference", "emulator", "checked", "cuda")
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
    whole = cupy.asarray(base)
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    pointer = whole.data + offset
    return cupy.ndarray(array.shape, array.dtype, pointer, strides=array.strides)


@pytest.fixture(params=ALL)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn; ``checked`` is the emulator's checked build."""
    name: str = request.param
    if name not in SELECTED:
        pytest.skip(f"{name} is not in PYCNN_TEST_BACKENDS={','.join(SELECTED)}")
    if name == "cuda":
        yield _cuda()
        return
    selected = "reference" if name == "reference" else "emulator"
    with pycnn.use_backend(selected, checked=name == "checked"):
        yield Backend(name, lambda a: a, lambda a: a)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)


def absent() -> dict[str, str]:
    """Backends that this machine lacks, and why."""
    missing = {b.name: b.detail for b in backends() if not b.available}
    return missing | ({"checked": missing["emulator"]} if "emulator" in missing else {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Thousands of tests that cannot run here are told of in one line a backend."""
    for name, reason in absent().items():
        terminalreporter.write_line(f"NOT RUN on {name}, which is not available here: {reason}")


def _parameter(item: pytest.Item, name: str) -> object:
    return getattr(getattr(item, "callspec", None), "params", {}).get(name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and mark what `make test` leaves out.

    Compiling kernels takes most of the time of the tests.
    The emulator's fast build runs float32, the checked one float32 and float16. bfloat16 differs
    from float16 in its conversions alone, float64 from float32 in the length of vectors. `make
    test-all` runs the rest.
    """
    missing = absent()
    out = [item for item in items if _parameter(item, "backend") in missing]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if _parameter(item, "backend") not in missing]
    for item in items:
        backend, dtype = _parameter(item, "backend"), _parameter(item, "dtype")
        if dtype is not None and dtype not in COMPILED.get(str(backend), FLOATS):
            item.add_marker(pytest.mark.exhaustive)
