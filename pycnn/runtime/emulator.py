"""The executor ``emulator``: runs plans on this machine's processor."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator import Pointer, RawModule, empty, host
from pycnn.emulator.guarded import Following
from pycnn.emulator.launching import runtime
from pycnn.emulator.raw import RawKernel
from pycnn.runtime import sources
from pycnn.runtime.active import emulator_checked, emulator_via
from pycnn.runtime.plan import (
    ArraySpec,
    Buffer,
    Kernel,
    Launch,
    Plan,
    Table,
    TensorMap,
    Transform,
)
from pycnn.runtime.route import resolved, route
from pycnn.runtime.tensor_maps import map_of


def probe() -> tuple[bool, str]:
    """Whether the emulator works here, and with what or why not."""
    try:
        runtime()
    except ImportError as error:
        return False, str(error)
    ptx, why = route()
    if resolved() == "ptx":
        return ptx == "ptx", f"by PTX: {why}"
    other = f"by PTX too: {why}" if ptx == "ptx" else f"not by PTX: {why}"
    try:
        return True, f"by the source: {host.compiler().version} ({other})"
    except (OSError, ValueError) as error:  # no C++ compiler; PTX needs none
        return ptx == "ptx", f"{error} ({other}, with via='ptx')"


class EmulatorExecutor:
    """Runs plans on NumPy arrays."""

    name = "emulator"

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        checked, via = emulator_checked(), emulator_via()
        arch = config.get("PYCNN_EMULATOR_ARCH") if via == "ptx" else ""
        results = {
            name: out[name] if out and name in out else _allocate(spec, checked)
            for name, spec in plan.outputs.items()
        }
        bound = {**arrays, **results}
        for name, spec in plan.allocated.items():
            bound[name] = _allocate(spec, checked)
        for launch in plan.launches:
            if isinstance(launch, Transform):
                with np.errstate(all="ignore"):  # a GPU does not warn of a NaN either
                    launch.run(bound, np.fft)
                continue
            while launch.unaligned is not None and not _aligned(launch, bound):
                launch = launch.unaligned
            kernel = _kernel(launch.kernel, checked, via, arch)
            kernel.max_dynamic_shared_size_bytes = max(48 * 1024, launch.shared)
            args = [host_argument(a, bound) for a in launch.args]
            kernel(launch.grid, launch.block, args, shared_mem=launch.shared)
        return results

    def bound(self, plan: Plan, arrays: Mapping[str, Any]) -> list[Callable[[], Any]]:
        """What runs a plan on arrays that stay, outputs and workspace among them."""
        out = {name: arrays[name] for name in plan.outputs}
        return [functools.partial(self.run, plan, arrays, out)]


def _allocate(spec: ArraySpec, checked: bool) -> np.ndarray:
    return empty(spec.shape, spec.dtype) if checked else np.empty(spec.shape, spec.dtype)


def _aligned(launch: Launch, arrays: Mapping[str, Any]) -> bool:
    """Whether the arrays of its tensor maps begin where they have to."""
    at = {m: _address(arrays[m.array.name]) + m.array.offset for m in launch.maps}
    return not any(m.misplaced(address) for m, address in at.items())


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def host_argument(argument: Any, arrays: Mapping[str, Any]) -> Any:
    """An argument as the emulator takes it."""
    if isinstance(argument, TensorMap):
        return map_of(argument, arrays[argument.array.name])
    if isinstance(argument, Table):
        struct = argument.filled(lambda b: _address(arrays[b.name]) + b.offset)
        return Following(
            struct, tuple([Pointer(arrays[b.name], b.offset, b.name) for b in argument.buffers])
        )
    if not isinstance(argument, Buffer):
        return argument
    array = arrays[argument.name]
    if argument.offset == 0:
        return array
    return Pointer(array, argument.offset)


@functools.lru_cache(maxsize=4096)
def _kernel(kernel: Kernel, checked: bool, via: str, arch: str) -> RawKernel:
    return _module(kernel.file, kernel.defines, checked, via, arch).get_function(kernel.entry)


@functools.lru_cache(maxsize=1024)
def _module(
    file: str, defines: tuple[tuple[str, str], ...], checked: bool, via: str, arch: str
) -> RawModule:
    return RawModule(
        path=sources.kernel_path(file),
        options=tuple(f"-D{name}={value}" for name, value in defines),
        checked=checked,
        via=via,
        arch=arch or None,
    )
