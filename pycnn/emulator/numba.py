"""Numba's CUDA kernels with no GPU: compiled by numba-cuda to PTX, run on this processor.

`jit` takes the place of ``numba.cuda.jit``, or takes what that has made.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator.arrays import host_arguments
from pycnn.emulator.attributes import Launchable
from pycnn.emulator.guarded import Pointer
from pycnn.emulator.launching import Settings
from pycnn.emulator.ptx import PtxKernel, PtxModule
from pycnn.runtime.extras import import_extra

Extents = int | Sequence[int]


class Jit(Launchable):
    """A kernel: ``kernel[grid, block](x, y)``, or ``kernel[grid, block, stream, shared](x, y)``.

    Compiled at the first launch with arguments of their types, as Numba does it.
    """

    def __init__(
        self, function: Callable[..., Any], arch: str, settings: Settings, options: dict[str, Any]
    ) -> None:
        numba = _numba()
        self.py_func = getattr(function, "py_func", function)
        self.name = self.py_func.__name__
        self.arch, self._settings, self._options = arch, settings, options
        self._typeof = numba.jit(self.py_func).typeof_pyval
        self._texts: dict[tuple[Any, ...], str] = {}
        self._compiled: dict[tuple[Any, ...], PtxKernel] = {}

    def ptx(self, *args: Any) -> str:
        """The PTX for arguments of these types."""
        return self._text(tuple(self._typeof(a) for a in host_arguments(args)))

    def _text(self, types: tuple[Any, ...]) -> str:
        if types not in self._texts:
            digits = self.arch.removeprefix("sm_").rstrip("af")
            self._texts[types], _ = _numba().compile_ptx(
                self.py_func, types, cc=divmod(int(digits), 10), lineinfo=True, **self._options
            )
        return self._texts[types]

    def __getitem__(self, configuration: tuple[Any, ...]) -> Callable[..., None]:
        if not isinstance(configuration, tuple) or not 2 <= len(configuration) <= 4:
            raise ValueError(
                f"{self.name}[{configuration}]; allowed: [grid, block], [grid, block, stream] and "
                "[grid, block, stream, bytes of dynamic shared memory]"
            )
        grid, block = configuration[:2]
        shared = int(configuration[3]) if len(configuration) == 4 else 0

        def launch(*args: Any) -> None:
            arguments = host_arguments(args)
            kernel = self._kernel(tuple(self._typeof(a) for a in arguments))
            kernel.max_dynamic_shared_size_bytes = max(shared, self.max_dynamic_shared_size_bytes)
            names = self.py_func.__code__.co_varnames
            flat = [p for n, a in zip(names, arguments, strict=False) for p in _flat(n, a)]
            try:
                kernel(_extents(grid), _extents(block), flat, shared_mem=shared)
            finally:
                self.counters = kernel.counters

        return launch

    def _kernel(self, types: tuple[Any, ...]) -> PtxKernel:
        kernel = self._compiled.get(types)
        if kernel is None:
            module = PtxModule(self._text(types), **self._settings._asdict())
            (entry,) = module.kernel_names
            kernel = self._compiled[types] = module.get_function(entry)
            kernel.name = self.name
        return kernel


def jit(
    function: Callable[..., Any] | None = None,
    *,
    arch: str | None = None,
    checked: bool = False,
    schedule: str | None = None,
    timeout: float | None = None,
    max_steps: int = 0,
    same_value_races: bool | None = None,
    **options: Any,
) -> Any:
    """Make a kernel of a function, as ``numba.cuda.jit`` does: with or without arguments.

    Parameters
    ----------
    function : callable
        A function of Python, or what ``numba.cuda.jit`` made of one.
    arch : str, optional
        What is compiled for, such as ``"sm_90"``. Default: ``PYCNN_EMULATOR_ARCH``.
    checked, schedule, timeout, max_steps, same_value_races
        Which build runs, and how: see `pycnn.emulator.RawModule`.
    **options
        Of ``numba.cuda.compile_ptx``, such as ``fastmath=True``.

    Returns
    -------
    Jit
        Called as ``kernel[grid, block](x, y, 3)``, with NumPy arrays, tensors of PyTorch on the
        CPU, numbers, and tuples of these.

    Raises
    ------
    MissingExtra
        If numba-cuda is not installed.
    """
    settings = Settings(checked, schedule, timeout, max_steps, same_value_races).check()

    def decorate(function: Callable[..., Any]) -> Jit:
        return Jit(function, arch or config.get("PYCNN_EMULATOR_ARCH"), settings, options)

    return decorate if function is None else decorate(function)


def _numba() -> Any:
    return import_extra("numba.cuda", "numba", "running Numba's kernels in the emulator")


def _extents(extents: Extents) -> tuple[int, ...]:
    return tuple(extents) if isinstance(extents, Sequence) else (int(extents),)


def _flat(name: str, argument: Any) -> Iterator[Any]:
    """The parameters that Numba has for an argument.

    An array is seven or more: who owns its memory (twice; nobody here), elements, bytes of one,
    address, extents and strides.
    """
    if isinstance(argument, np.ndarray):
        yield from (0, 0, argument.size, argument.itemsize, Pointer(argument, name=name))
        yield from argument.shape
        yield from argument.strides
    elif isinstance(argument, tuple):
        for item in host_arguments(argument):
            yield from _flat(name, item)
    elif isinstance(argument, (bool, np.bool_)):
        yield np.uint8(argument)
    elif isinstance(argument, int):
        yield np.int64(argument)
    elif isinstance(argument, float):
        yield np.float64(argument)
    elif isinstance(argument, np.generic) and argument.dtype.kind in "iuf":
        yield argument
    else:
        raise TypeError(
            f"argument {name} is a {type(argument).__name__}; allowed: arrays, integers, "
            "real numbers, booleans, and tuples of these"
        )
