"""What every way to launch a kernel has in common."""

import ctypes
import functools
import importlib
import os
from math import prod
from typing import Any, NamedTuple

from pycnn import config
from pycnn.emulator.guarded import Pointer
from pycnn.runtime.plan import MAX_BLOCK_THREADS, MAX_GRID, Dim3

_MAX_BLOCK = (1024, 1024, 64)
_CHECKED_BLOCKS = 1 << 32
#: `kWaitingThreads` of emulator/launch.cpp.
_WAITING_THREADS = 16384
CORES = os.cpu_count() or 1
_ORDERS = {"forward": 0, "reverse": 1, "random": 2}


@functools.cache
def runtime() -> Any:
    """The C++ runtime, with its functions visible to the kernels."""
    try:
        module = importlib.import_module("pycnn.emulator._runtime")
    except ImportError as error:
        raise ImportError(
            f"the emulator's runtime is not built ({error}); "
            "install a C++17 compiler and reinstall pycnn"
        ) from error
    ctypes.CDLL(module.__file__, mode=ctypes.RTLD_GLOBAL)
    module.set_pointer_type(Pointer)
    return module


@functools.lru_cache(maxsize=4096)
def launch_shape(grid: tuple[int, ...], block: tuple[int, ...]) -> tuple[Dim3, Dim3]:
    """Grid and block in three dimensions, or a `ValueError` that says what is allowed."""
    full = _dim3("grid", grid, MAX_GRID), _dim3("block", block, _MAX_BLOCK)
    if prod(block) > MAX_BLOCK_THREADS:
        raise ValueError(f"block={block} has {prod(block)} threads; allowed: {MAX_BLOCK_THREADS}")
    return full


def _dim3(name: str, value: tuple[int, ...], limits: Dim3) -> Dim3:
    if not 1 <= len(value) <= 3:
        raise ValueError(f"{name}={value}; allowed: one to three ints")
    x, y, z = (*value, 1, 1)[:3]
    for extent, limit in zip((x, y, z), limits, strict=True):
        if not 1 <= extent <= limit:
            raise ValueError(f"{name}={value}; allowed: 1 to {limits}")
    return int(x), int(y), int(z)


def check_shared(shared_mem: int, opted_in: int) -> None:
    """Refuse more dynamic shared memory than was opted in to, or than there is."""
    limit = min(opted_in, runtime().SHARED_LIMIT)
    if not 0 <= shared_mem <= limit:
        raise ValueError(
            f"shared_mem={shared_mem}; allowed: 0 to {limit} "
            f"(max_dynamic_shared_size_bytes, at most {runtime().SHARED_LIMIT})"
        )


def check_blocks(grid: Dim3) -> None:
    """Refuse more blocks than a checked launch can number."""
    if prod(grid) >= _CHECKED_BLOCKS:
        raise ValueError(
            f"grid={grid} has {prod(grid)} blocks; the checked build takes fewer than 2**32"
        )


class Settings(NamedTuple):
    """How kernels of a module run; see `pycnn.emulator.RawModule`."""

    checked: bool = False
    schedule: str | None = None
    timeout: float | None = None
    max_steps: int = 0
    same_value_races: bool | None = None

    @property
    def reports_same_value_races(self) -> bool:
        if self.same_value_races is None:
            return bool(config.get("PYCNN_SAME_VALUE_RACES"))
        return self.same_value_races

    def check(self) -> "Settings":
        """Itself, or a `ValueError` that says what is allowed."""
        parse_schedule(self.schedule)
        check_limits(self.timeout, self.max_steps, self.checked)
        return self


def check_limits(timeout: float | None, max_steps: int, checked: bool) -> None:
    """Refuse limits of a launch that are none."""
    if timeout is not None and not 0 <= timeout < float("inf"):
        raise ValueError(f"timeout={timeout}; allowed: seconds, or 0 for no limit")
    if max_steps < 0 or (max_steps and not checked):
        raise ValueError(
            f"max_steps={max_steps}; allowed: 0, or more with checked=True, which counts them"
        )


def check_cooperative(grid: Dim3, block: Dim3) -> None:
    """Refuse a cooperative launch whose threads cannot all wait at once."""
    threads = prod(grid) * prod(block)
    if threads > _WAITING_THREADS:
        raise ValueError(
            f"a cooperative launch of {threads} threads, grid={grid}, block={block}; "
            f"allowed: {_WAITING_THREADS} threads, as all of them must be there at once"
        )


@functools.lru_cache
def _order_of(text: str) -> tuple[int, int]:
    kind, _, seed = text.partition(":")
    if kind not in _ORDERS or (kind == "random") != seed.isdigit():
        raise ValueError(f"schedule={text!r}; allowed: forward, reverse, random:SEED")
    return _ORDERS[kind], int(seed or 0)


def parse_schedule(schedule: str | None) -> tuple[int, int]:
    """Number and seed of an order of threads; None stands for ``PYCNN_SCHEDULE``."""
    return _order_of(schedule if schedule is not None else config.get("PYCNN_SCHEDULE"))


def time_limit(timeout: float | None) -> float:
    """Seconds that a launch may take; None stands for ``PYCNN_EMULATOR_TIMEOUT``."""
    limit: float = config.get("PYCNN_EMULATOR_TIMEOUT") if timeout is None else timeout
    return limit
