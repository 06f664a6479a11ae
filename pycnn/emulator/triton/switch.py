"""`use`: Triton's launcher on the emulator, and back."""

from typing import Any, NamedTuple

import numpy as np

from pycnn.emulator.launching import check_limits, parse_schedule
from pycnn.emulator.triton.driver import Driver, Settings
from pycnn.runtime.extras import MissingExtra, import_extra, install

#: Compute capabilities that Triton compiles for and whose instructions the emulator has.
ARCHS = (75, 80, 86, 87, 89, 90)

_drivers: dict[Settings, Driver] = {}


class _Before(NamedTuple):
    """What was there before a `use`."""

    driver: Any
    run: Any


class Use:
    """The emulator as Triton's device, until the end of a ``with`` block if it begins one."""

    def __init__(self, before: _Before) -> None:
        self._before = before

    def __enter__(self) -> "Use":
        return self

    def __exit__(self, *exception: object) -> None:
        from triton import knobs
        from triton.runtime import driver
        from triton.runtime.jit import JITFunction

        knobs.runtime.kernel_load_start_hook.remove(driver.active.utils.loading)
        JITFunction.run = self._before.run
        driver.set_active(self._before.driver)
        if isinstance(self._before.driver, Driver):
            knobs.runtime.kernel_load_start_hook.add(self._before.driver.utils.loading)


def use(
    arch: int = 80,
    *,
    checked: bool = False,
    schedule: str | None = None,
    timeout: float | None = None,
    max_steps: int = 0,
    same_value_races: bool | None = None,
) -> Use:
    """Run Triton's kernels on this machine's processor from now on, or within a ``with`` block.

    Nothing of a kernel or its launch changes: ``kernel[grid](x, y, n, BLOCK=1024)``, on tensors of
    PyTorch's CPU build or NumPy arrays.

    Parameters
    ----------
    arch : int, default 80
        Compute capability that Triton compiles for; 90 stands for sm_90a.
    checked : bool, default False
        Watch every memory access: what is wrong is an exception of `pycnn.emulator` that names the
        line of the kernel, and `pycnn.emulator.counting` counts the traffic.
    schedule, timeout, max_steps, same_value_races
        Order of threads and blocks, limits of a launch, and what counts as a race: see
        `pycnn.emulator.RawModule`.

    Returns
    -------
    context manager
        Its end brings back what was there before.

    Raises
    ------
    MissingExtra
        If Triton is not installed, or is too old.
    ValueError
        If a setting is not allowed.

    Notes
    -----
    Times of the emulator say nothing about a GPU. ``triton.autotune`` therefore runs each
    configuration once and takes the first; ``triton.testing.do_bench`` gives the emulator's time.
    """
    if arch not in ARCHS:
        raise ValueError(f"arch={arch!r}; allowed: {', '.join(map(str, ARCHS))}")
    check_limits(timeout, max_steps, checked)
    parse_schedule(schedule)
    purpose = "running Triton's kernels in the emulator"
    active = import_extra("triton.runtime", "triton", purpose).driver
    jit = import_extra("triton.runtime.jit", "triton", purpose).JITFunction
    knobs = import_extra("triton", "triton", purpose).knobs
    if not hasattr(getattr(knobs.runtime, "kernel_load_start_hook", None), "remove"):
        raise MissingExtra(f"{purpose} needs Triton 3.5 or later; {install('triton')}")
    settings = Settings(arch, checked, schedule, timeout, max_steps, same_value_races)
    ours = _drivers.setdefault(settings, Driver(settings, device=len(_drivers)))
    before = _Before(_active(active), jit.run)
    if isinstance(before.driver, Driver):
        knobs.runtime.kernel_load_start_hook.remove(before.driver.utils.loading)
    else:
        jit.run = _on_numpy(jit.run)
    knobs.runtime.kernel_load_start_hook.add(ours.utils.loading)
    active.set_active(ours)
    return Use(before)


def _active(drivers: Any) -> Any:
    """The driver in use, or None where Triton finds no GPU."""
    try:
        return drivers.active
    except RuntimeError:
        return None


class _Array:
    """A NumPy array as Triton asks a tensor: by its pointer and the name of its type."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.dtype = array.dtype.name

    def data_ptr(self) -> int:
        return int(self.array.__array_interface__["data"][0])


def _on_numpy(run: Any) -> Any:
    def on_numpy(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = {name: _seen(argument) for name, argument in kwargs.items()}
        return run(self, *map(_seen, args), **named)

    return on_numpy


def _seen(argument: Any) -> Any:
    """An argument with arrays as Triton sees them, within tuples too."""
    if isinstance(argument, np.ndarray):
        return _Array(argument)
    if isinstance(argument, tuple):
        items = map(_seen, argument)
        return type(argument)(*items) if hasattr(argument, "_fields") else tuple(items)
    return argument
