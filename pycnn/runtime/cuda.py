"""The executor ``cuda``: plans on a GPU, through CuPy.

A kernel is compiled by NVRTC to a cubin (`pycnn.runtime.nvrtc`), which CuPy loads; it is launched
on CuPy's current stream, and memory comes from CuPy's pool. What does not change between two runs
of a plan (functions, packed scalars) is bound once per plan and device.
"""

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.runtime import nvrtc
from pycnn.runtime.extras import import_extra
from pycnn.runtime.plan import Argument, Buffer, Kernel, Launch, Plan, Transform

#: Shared memory that a block may have without asking for more.
DEFAULT_SHARED = 48 * 1024

#: A step of a plan, ready but for the arrays by name.
Step = Callable[[dict[str, Any]], None]

#: Major compute capabilities whose own instructions need the suffix ``a`` (sm_90a: wgmma, ...).
_SPECIFIC = (9, 10, 11)


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


@dataclass(frozen=True)
class _Bound:
    """One launch, ready but for the arrays: a packed scalar, a null, or where a buffer begins."""

    function: Callable[..., None]
    launch: Launch
    arguments: tuple[np.ndarray | Buffer | None, ...]

    def __call__(self, arrays: Mapping[str, Any]) -> None:
        pointers = [
            arrays[a.name].data + a.offset if isinstance(a, Buffer) else a for a in self.arguments
        ]
        self.function(self.launch.grid, self.launch.block, pointers, shared_mem=self.launch.shared)


class CudaExecutor:
    """Runs plans on the current device and stream of CuPy."""

    name = "cuda"

    def __init__(self) -> None:
        self._cupy = _cupy()
        self._bound: weakref.WeakKeyDictionary[Plan, dict[int, Sequence[Step]]] = (
            weakref.WeakKeyDictionary()
        )

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Launch every kernel of a plan; returns without waiting for the GPU.

        Parameters
        ----------
        plan : Plan
            What to run.
        arrays : mapping of str to cupy.ndarray or None
            The inputs by name; strides are in the plan.
        out : mapping of str to cupy.ndarray, optional
            Outputs to write to; those it lacks are allocated.

        Returns
        -------
        dict of str to cupy.ndarray
            Every output of the plan.

        Raises
        ------
        ValueError
            If an array is not on the current device.
        CompileError
            If a kernel does not compile for this device.
        """
        device: int = self._cupy.cuda.runtime.getDevice()
        memory = {name: array for name, array in arrays.items() if array is not None}
        if out:
            memory.update(out)
        for name, array in memory.items():
            if array.data.device_id != device:
                raise ValueError(
                    f"{name} is on device {array.data.device_id}, but the current device is "
                    f"{device}; allowed: all arrays on the current device (cupy.cuda.Device)"
                )
        for name, spec in (*plan.outputs.items(), *plan.allocated.items()):
            if name not in memory:
                memory[name] = self._cupy.empty(spec.shape, spec.dtype)
        for launch in self._bind(plan, device):
            launch(memory)
        return {name: memory[name] for name in plan.outputs}

    def _bind(self, plan: Plan, device: int) -> Sequence[Step]:
        by_device = self._bound.setdefault(plan, {})
        if device not in by_device:
            by_device[device] = [
                functools.partial(launch.run, fft=self._cupy.fft)
                if isinstance(launch, Transform)
                else _Bound(
                    self._function(launch.kernel, device, launch.shared),
                    launch,
                    tuple(_packed(argument) for argument in launch.args),
                )
                for launch in plan.launches
            ]
        return by_device[device]

    def _function(self, kernel: Kernel, device: int, shared: int) -> Callable[..., None]:
        function = self._load(kernel, device)
        # The default covers static and dynamic shared memory together. Plans share the function:
        # the limit must suffice for the largest of them.
        if shared and shared + function.shared_size_bytes > DEFAULT_SHARED:
            largest = max(shared, function.max_dynamic_shared_size_bytes)
            function.max_dynamic_shared_size_bytes = largest
        return function

    @functools.cache  # noqa: B019 (the executor lives as long as the process)
    def _load(self, kernel: Kernel, device: int) -> Any:
        arch = arch_of(self._cupy.cuda.Device(device).compute_capability)
        cubin = nvrtc.compile_kernel(kernel.file, arch, kernel.defines)
        return self._cupy.RawModule(path=str(cubin)).get_function(kernel.entry)


def _packed(argument: Argument) -> np.ndarray | Buffer | None:
    # CuPy passes a NumPy array of size one by value, bytes as they lie: scalars and structs alike.
    return np.array(argument) if isinstance(argument, np.generic) else argument


def _cupy() -> Any:
    return import_extra("cupy", "cuda13", "a GPU (extra cuda12 with a driver for CUDA 12)")
