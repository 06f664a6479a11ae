"""Which of ``cuda``, ``emulator`` and ``reference`` runs a call, and why.

CuPy arrays always go to ``cuda``. NumPy arrays go to the active backend: ``reference`` unless
:func:`use_backend` or ``PYCNN_BACKEND`` says ``emulator``. Nothing falls back in silence.
"""

import functools
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pycnn.runtime.active import active, active_backend
from pycnn.runtime.context import held
from pycnn.runtime.plan import Plan
from pycnn.runtime.route import resolved

NAMES = ("cuda", "emulator", "reference")

#: Backends that can be made the active one for NumPy arrays.
SELECTABLE = ("emulator", "reference")


class Executor(Protocol):
    """Runs plans. Of the arrays, those that no launch names may be None."""

    name: str

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]: ...


class BackendUnavailable(RuntimeError):
    """A backend was asked for that this machine cannot run; says why and what would help."""


@dataclass(frozen=True)
class BackendStatus:
    """Availability of one backend on this machine."""

    name: str
    available: bool
    detail: str


#: NumPy arrays that are nothing but their elements: a mask or another product would be overlooked.
PLAIN = (np.ndarray, np.memmap)

#: Not a backend to compute with: calls are validated, and results are placeholders of their shape.
SHAPES = "shapes"


class use_backend:  # a call as well as a context manager, hence the lower case
    """Choose the backend of NumPy arrays, for a block of code or from here on.

    Parameters
    ----------
    name : {"reference", "emulator"}
        The backend. CuPy arrays go to ``cuda`` whatever is chosen here.
    checked : bool, optional
        Run the emulator's checked build, which finds races, out-of-bounds accesses and reads of
        uninitialised memory and counts memory traffic. Default: ``PYCNN_CHECKED``.
    via : {"source", "ptx"}, optional
        What the emulator runs: the PTX that NVRTC makes of kernels, or their source, compiled by
        the host's C++ compiler. Default: ``PYCNN_EMULATOR_VIA``.

    Notes
    -----
    The choice belongs to the context (:mod:`contextvars`) that makes it, as NumPy's ``errstate``
    does: asyncio tasks have it, a thread that is started inside begins with the default. To hand it
    on: ``Thread(target=contextvars.copy_context().run, args=(function,))``.

    Raises
    ------
    ValueError
        If `name` is none of the above (``"cuda"`` is chosen by passing CuPy arrays).
    BackendUnavailable
        If this machine cannot run it.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> with pycnn.use_backend("reference"):
    ...     y = pycnn.relu(np.array([-1.0, 2.0]))
    >>> y
    array([0., 2.])
    """

    def __init__(self, name: str, *, checked: bool | None = None, via: str | None = None) -> None:
        if name not in SELECTABLE:
            hint = "; cuda is chosen by passing CuPy arrays" if name == "cuda" else ""
            raise ValueError(f"name={name!r}: allowed are {', '.join(SELECTABLE)}{hint}")
        if via is not None:
            resolved(via)
        require(name)
        self._token = active.set((name, checked, via))

    def __enter__(self) -> "use_backend":
        return self

    def __exit__(self, *exc: object) -> None:
        active.reset(self._token)


def shapes_only() -> AbstractContextManager[None]:
    """Calls on NumPy arrays validate, compute nothing, and return placeholders without memory."""
    return held(active, (SHAPES, None, None))


def backend_for(**arrays: Any) -> str:
    """Backend for a call on `arrays` (name -> array or None); refuses mixed libraries."""
    kinds: dict[str, str] = {}
    for name, array in arrays.items():
        if array is None:
            continue
        if type(array) in PLAIN:
            kinds[name] = "NumPy"
        elif isinstance(array, np.ndarray):
            raise TypeError(
                f"{name} is of type {type(array).__name__}; allowed: numpy.ndarray, of which it is "
                "a subclass with a meaning of its own: numpy.asarray makes a plain one"
            )
        elif _is_cupy(array):
            kinds[name] = "CuPy"
        else:
            raise TypeError(
                f"{name} is of type {type(array).__name__}; allowed: numpy.ndarray, cupy.ndarray, "
                "or what has __dlpack__ or __cuda_array_interface__"
            )
    libraries = set(kinds.values())
    if len(libraries) > 1:
        listed = ", ".join(f"{name} is a {kind} array" for name, kind in kinds.items())
        raise TypeError(f"arrays on different devices: {listed}; allowed: all on one device")
    return "cuda" if libraries == {"CuPy"} else active_backend()


def _is_cupy(array: Any) -> bool:
    # CuPy is never imported for this: without it in sys.modules no array can be its own.
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


_stand_ins: dict[str, Executor] = {}


def executor(name: str) -> Executor:
    """The executor of backend `name`, made once."""
    return _stand_ins.get(name) or _make_executor(name)


@functools.cache
def _make_executor(name: str) -> Executor:
    require(name)
    if name == "cuda":
        from pycnn.runtime.cuda import CudaExecutor

        return CudaExecutor()
    if name == "emulator":
        from pycnn.runtime.emulator import EmulatorExecutor

        return EmulatorExecutor()
    raise ValueError(f"name={name!r}: the reference backend runs no plans")


def require(name: str) -> None:
    """Raise :class:`BackendUnavailable` unless `name` can run here."""
    status = _status(name)
    if not status.available:
        raise BackendUnavailable(f"backend {name} is not available here: {status.detail}")


def backends() -> list[BackendStatus]:
    """Every backend, whether it is available here, and if not, what to install.

    Returns
    -------
    list of BackendStatus
        Fields ``name``, ``available`` and ``detail``, in the order cuda, emulator, reference.

    Examples
    --------
    >>> import pycnn
    >>> [b.name for b in pycnn.backends()]
    ['cuda', 'emulator', 'reference']
    """
    return [_status(name) for name in NAMES]


@functools.cache
def _status(name: str) -> BackendStatus:
    if name == "cuda":
        from pycnn.runtime.probe import probe
    elif name == "emulator":
        from pycnn.runtime.emulator import probe
    else:
        from pycnn.reference.cpu._loops import about

        return BackendStatus(name, True, f"NumPy {np.__version__}, {about()}")
    available, detail = probe()
    return BackendStatus(name, available, detail)


@contextmanager
def stand_in_executor(name: str, stand_in: Executor) -> Iterator[None]:
    """Put `stand_in` in the place of executor `name` (tests and overhead measurements)."""
    _stand_ins[name] = stand_in
    try:
        yield
    finally:
        del _stand_ins[name]
