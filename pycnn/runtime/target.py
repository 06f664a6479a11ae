"""The GPU that kernels are planned for, as far as plans depend on it."""

import functools
import re
import sys
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from numpy import ndarray

from pycnn import config
from pycnn.runtime.active import active, active_backend, emulator_via
from pycnn.runtime.context import held


class Target(NamedTuple):
    """What plans know of a GPU.

    Attributes
    ----------
    arch : str
        As NVRTC names it; empty where kernels are not compiled for one, as in the emulator when it
        runs the source.
    processors : int
        Streaming multiprocessors: blocks that run at once where each takes a whole one.
    gpu : str
        Name and driver of a GPU that is here, by which measured choices are kept; else empty.
    inline_ptx : bool
        Whether kernels may hold PTX: not in the emulator when it runs the source.
    """

    arch: str = ""
    processors: int = 132
    gpu: str = ""
    inline_ptx: bool = True


#: Kernels are planned such that they run anywhere.
ANY = Target()

#: What plans are made for here, to be set and reset.
current: ContextVar[Target] = ContextVar("pycnn_target", default=ANY)

#: The same, read.
target = current.get

#: The GPU that the emulator stands for, where it is another than what the environment says.
_stood_for: ContextVar[Target | None] = ContextVar("pycnn_stood_for", default=None)

#: Major compute capabilities whose own instructions need the suffix ``a`` (sm_90a: wgmma, ...).
_SPECIFIC = (9, 10, 11)


def planned_for(target: Target) -> AbstractContextManager[None]:
    """Plans made inside are for this GPU.

    Examples
    --------
    >>> with planned_for(Target("sm_90a")):
    ...     target().arch
    'sm_90a'
    """
    return held(current, target)


def emulating(target: Target) -> AbstractContextManager[None]:
    """The emulator stands for this GPU inside, to what is planned; kernels are not run for it.

    Examples
    --------
    >>> from pycnn import use_backend
    >>> with use_backend("emulator"), emulating(Target("sm_89", 128)):
    ...     target_here()
    Target(arch='sm_89', processors=128, gpu='', inline_ptx=True)
    """
    return held(_stood_for, target)


def decided_by(array: Any) -> tuple[object, ...]:
    """What backend and target of a call on an array follow from, at no cost, for a cache's key."""
    if isinstance(array, ndarray):
        return (active.get(), _stood_for.get(), *_deciding())
    return active_backend(), target_of(array)


def target_of(array: Any) -> Target:
    """The GPU that computes on an array: the current device, or what the emulator stands for."""
    if isinstance(array, ndarray):
        return _of_memory(active.get(), _stood_for.get(), *_deciding())
    cupy = sys.modules.get("cupy")
    known = cupy is not None and isinstance(array, cupy.ndarray)
    return target_of_backend("cuda") if known else ANY  # what is no array will be refused


#: What the target of arrays in memory follows from, beside `use_backend`.
_deciding = config.raw("PYCNN_BACKEND", "PYCNN_EMULATOR_VIA", "PYCNN_EMULATOR_ARCH")


@functools.lru_cache(maxsize=64)
def _of_memory(*what_decides: object) -> Target:
    """For the settings as they are; a repeated call has to look at nothing but what they follow."""
    return target_of_backend(active_backend())


def target_here() -> Target:
    """What a question with no array in it is about: the GPU, where CuPy is in use and has one."""
    cupy = sys.modules.get("cupy")
    on_gpu = cupy is not None and cupy.cuda.is_available()
    return target_of_backend("cuda" if on_gpu else active_backend())


def target_of_backend(name: str) -> Target:
    """The GPU that a backend computes on; `ANY` where it is none."""
    if name == "cuda":
        import cupy

        return _of_device(cupy.cuda.runtime.getDevice())
    if name == "emulator":
        by_ptx = emulator_via() == "ptx"
        own = Target(config.get("PYCNN_EMULATOR_ARCH")) if by_ptx else Target(inline_ptx=False)
        return _stood_for.get() or own
    return ANY


def no_tensor_cores() -> str | None:
    """Why kernels of inline PTX cannot run here; None if they can."""
    return None if target().inline_ptx else "tensor cores by the source; allowed: via='ptx'"


@functools.cache
def _of_device(number: int) -> Target:
    import cupy

    device = cupy.cuda.Device(number)
    attributes = device.attributes
    name = cupy.cuda.runtime.getDeviceProperties(number)["name"].decode()
    driver = f"CUDA {cupy.cuda.runtime.driverGetVersion()}{_kernel_module()}"
    return Target(
        arch_of(device.compute_capability), attributes["MultiProcessorCount"], f"{name}; {driver}"
    )


def _kernel_module() -> str:
    """The driver's own version, where Linux tells: several serve one version of CUDA."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", text)
    return f", driver {found[0]}" if found else ""


def arch_of(capability: str) -> str:
    """Architecture to compile for, from CuPy's compute capability.

    Parameters
    ----------
    capability : str
        As ``cupy.cuda.Device.compute_capability`` gives it, such as ``"90"``.

    Examples
    --------
    >>> arch_of("86"), arch_of("90"), arch_of("120")
    ('sm_86', 'sm_90a', 'sm_120')
    """
    return f"sm_{capability}" + ("a" if int(capability) // 10 in _SPECIFIC else "")
