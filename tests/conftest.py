"""One test body, every backend: the `backend` fixture and what it needs.

``PYCNN_TEST_BACKENDS`` (comma-separated) limits the run, e.g. to ``cuda`` under compute-sanitizer.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

import pycnn
from pycnn.runtime.backends import backends

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
    status = {b.name: b for b in backends()}["emulator" if name == "checked" else name]
    if not status.available:
        pytest.skip(f"{name} is not available here: {status.detail}")
    if name == "cuda":
        yield _cuda()
        return
    selected = "reference" if name == "reference" else "emulator"
    with pycnn.use_backend(selected, checked=name == "checked"):
        yield Backend(name, lambda a: a, lambda a: a)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiling kernels takes most of the time of the tests, so `make test` leaves some out.

    The emulator's fast build runs float32, and the checked one every dtype but bfloat16, which
    differs from float16 in its conversions alone. `make test-all` runs the rest.
    """
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        backend, dtype = params.get("backend"), params.get("dtype")
        other_in_fast = backend == "emulator" and dtype not in (None, "float32")
        if other_in_fast or (dtype == "bfloat16" and backend in (None, "checked")):
            item.add_marker(pytest.mark.exhaustive)
