"""The executor ``cuda``: plans on a GPU, through CuPy.

A kernel is compiled by NVRTC to a cubin (`pycnn.runtime.nvrtc`), which CuPy loads; it is launched
on CuPy's current stream, and memory comes from CuPy's pool. What does not change between two runs
of a plan (functions, packed scalars and structs) is bound once per plan and device.
"""

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from pycnn.runtime import nvrtc
from pycnn.runtime.extras import import_extra
from pycnn.runtime.plan import (
    Argument,
    ArraySpec,
    Buffer,
    Kernel,
    Launch,
    Plan,
    Table,
    TensorMap,
    Transform,
)
from pycnn.runtime.target import arch_of

#: Shared memory that a block may have without asking for more.
DEFAULT_SHARED = 48 * 1024

#: Encoded tensor maps that are kept for a launch: of arrays at so many places.
MAPS = 64

#: What a launch finds an argument under: an array's name, with an offset or without, or a number.
Key = str | tuple[str, int] | int

#: A step of a plan, ready but for what stands under its keys.
Step = Callable[[dict[Any, Any]], None]


class _Bound:
    """A plan on one device, ready but for the arrays.

    Of a NumPy array passed by value CuPy asks for the whole array interface at each launch, which
    for a struct takes longer than all the rest. A `CPointer` is the address of an argument's bytes
    itself, so what does not change is packed here, once.

    Attributes
    ----------
    steps : list of Step
        What is run, in this order.
    constants : dict of int to CPointer
        Scalars, structs and null pointers, by number; those of tensor maps and tables are below
        zero.
    outputs, workspace : list of (str, callable)
        Names, and what allocates it. Kernels need no more of a workspace than where it begins.
    """

    def __init__(self, plan: Plan, cupy: Any) -> None:
        self.steps: list[Step] = []
        self.constants: dict[Key, Any] = {}
        self._pointer = cupy.cuda.function.CPointer
        self._packed: list[np.ndarray] = []  # what the constants point to
        self._maps: dict[TensorMap | Table, int] = {}  # below zero

        def array(spec: ArraySpec) -> Callable[[], Any]:
            return functools.partial(cupy.ndarray, spec.shape, spec.dtype)

        def memory(spec: ArraySpec) -> Callable[[], Any]:
            return functools.partial(cupy.cuda.alloc, spec.nbytes)

        of_library = any(isinstance(launch, Transform) for launch in plan.launches)
        room = array if of_library else memory
        self.outputs = [(name, array(spec)) for name, spec in plan.outputs.items()]
        self.workspace = [(name, room(spec)) for name, spec in plan.allocated.items()]

    def step(self, function: Callable[..., None], launch: Launch) -> Step:
        """What launches a kernel; CuPy takes its current stream."""
        grid, block, shared = launch.grid, launch.block, launch.shared
        keys = [self._key(argument) for argument in launch.args]
        parts = [key for key in keys if isinstance(key, tuple)]
        pick = itemgetter(*keys) if len(keys) > 1 else lambda values: [values[key] for key in keys]

        def step(values: dict[Any, Any]) -> None:
            for part in parts:
                whole = values[part[0]]
                values[part] = getattr(whole, "data", whole) + part[1]
            function(grid, block, pick(values), shared)

        return step

    def mapped(self, step: Step, launch: Launch, otherwise: Callable[[], Step]) -> Step:
        """`step`, once the tensor maps of its launch are encoded, or another one.

        A map is encoded anew only where its array begins elsewhere than in the launches before.
        """
        maps = {self._key(described): described for described in launch.maps}
        encoded: dict[tuple[Key, int], Any] = {}

        def mapped(values: dict[Any, Any]) -> None:
            for key, described in maps.items():
                whole = values[described.array.name]
                memory = getattr(whole, "data", whole)
                at = memory.ptr + described.array.offset
                if described.misplaced(at) and launch.unaligned is not None:
                    other = otherwise()
                    other({**values, **self.constants})  # its own are there since just now
                    return
                if (key, at) not in encoded:
                    if len(encoded) >= MAPS:
                        encoded.clear()
                    packed = _map_at(described, at)
                    encoded[key, at] = self._pointer(packed.ctypes.data), packed
                values[key] = encoded[key, at][0]
            step(values)

        return mapped

    def tabled(self, step: Step, launch: Launch) -> Step:
        """`step`, once the tables of its launch hold where the arrays begin."""
        tables = {self._key(a): a for a in launch.args if isinstance(a, Table)}

        def tabled(values: dict[Any, Any]) -> None:
            for key, table in tables.items():
                packed = _table_at(table, values)
                values[key] = self._pointer(packed.ctypes.data)
                values[key, "bytes"] = packed  # what the argument points to
            step(values)

        return tabled

    def _key(self, argument: Argument) -> Key:
        if isinstance(argument, Buffer):
            return (argument.name, argument.offset) if argument.offset else argument.name
        if isinstance(argument, TensorMap | Table):
            return self._maps.setdefault(argument, -1 - len(self._maps))
        packed = _packed(argument)
        number = len(self._packed)
        self._packed.append(packed)
        self.constants[number] = self._pointer(packed.ctypes.data)
        return number


class CudaExecutor:
    """Runs plans on the current device and stream of CuPy."""

    name = "cuda"

    def __init__(self) -> None:
        self._cupy = _cupy()
        self._bound: dict[tuple[int, int], _Bound] = {}  # by identity of the plan, and device
        self._limits = threading.Lock()

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
        for group in (arrays, out or {}):
            for name, array in group.items():
                if array is not None and array.data.device_id != device:
                    raise ValueError(
                        f"{name} is on device {array.data.device_id}, but the current device is "
                        f"{device}; allowed: all arrays on the current device (cupy.cuda.Device)"
                    )
        bound = self._bound.get((id(plan), device)) or self._bind(plan, device)
        results = {
            name: out[name] if out and name in out else make() for name, make in bound.outputs
        }
        values: dict[Any, Any] = {**bound.constants, **arrays, **results}
        for name, make in bound.workspace:
            values[name] = make()
        for step in bound.steps:
            step(values)
        return results

    def bound(self, plan: Plan, arrays: Mapping[str, Any]) -> list[Callable[[], Any]]:
        """What runs a plan on arrays that stay, outputs and workspace among them, step by step.

        All arguments are packed here, addresses too.
        """
        if any(isinstance(launch, Transform) for launch in plan.launches):  # allocates as it runs
            out = {name: arrays[name] for name in plan.outputs}
            return [functools.partial(self.run, plan, arrays, out)]
        device, pointer = self._cupy.cuda.runtime.getDevice(), self._cupy.cuda.function.CPointer
        steps: list[Callable[[], Any]] = []
        for launch in plan.launches:
            assert isinstance(launch, Launch)
            at = {m: arrays[m.array.name].data.ptr + m.array.offset for m in launch.maps}
            if launch.unaligned is not None and any(
                described.misplaced(a) for described, a in at.items()
            ):
                launch, at = launch.unaligned, {}
            packed = [
                np.array(arrays[a.name].data.ptr + a.offset, np.uintp)
                if isinstance(a, Buffer)
                else _map_at(a, at[a])
                if isinstance(a, TensorMap)
                else _table_at(a, arrays)
                if isinstance(a, Table)
                else _packed(a)
                for a in launch.args
            ]
            function = self._function(launch.kernel, device, launch.shared)
            args = tuple([pointer(one.ctypes.data) for one in packed])
            step = functools.partial(function, launch.grid, launch.block, args, launch.shared)
            step.packed = packed  # type: ignore[attr-defined]  # what the arguments point to
            steps.append(step)
        return steps

    def captured(self, steps: Iterable[Callable[[], Any]]) -> Any:
        """The steps as one CUDA graph. All their kernels must have been loaded."""
        stream = self._cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                for step in steps:
                    step()
            except BaseException:
                with contextlib.suppress(Exception):  # of a capture that is lost
                    stream.end_capture()
                raise
            return stream.end_capture()

    def _bind(self, plan: Plan, device: int) -> _Bound:
        bound = _Bound(plan, self._cupy)
        for launch in plan.launches:
            if isinstance(launch, Transform):
                bound.steps.append(functools.partial(launch.run, fft=self._cupy.fft))
            else:
                bound.steps.append(self._step(bound, launch, device))
        self._bound[id(plan), device] = bound
        weakref.finalize(plan, self._bound.pop, (id(plan), device), None).atexit = False
        return bound

    def _step(self, bound: _Bound, launch: Launch, device: int) -> Step:
        step = bound.step(self._function(launch.kernel, device, launch.shared), launch)
        if any(isinstance(a, Table) for a in launch.args):
            step = bound.tabled(step, launch)
        if not launch.maps:
            return step
        unaligned = launch.unaligned

        @functools.cache
        def otherwise() -> Step:  # compiled only where it is needed
            assert unaligned is not None
            return self._step(bound, unaligned, device)

        return bound.mapped(step, launch, otherwise)

    def _function(self, kernel: Kernel, device: int, shared: int) -> Callable[..., None]:
        """What launches a kernel on the current device, without looking it up once more."""
        loaded = self._load(kernel, device)
        # The default covers static and dynamic shared memory together. Plans share the function:
        # the limit must suffice for the largest of them, whichever thread comes with it.
        if shared and shared + loaded.shared_size_bytes > DEFAULT_SHARED:
            with self._limits:
                largest = max(shared, loaded.max_dynamic_shared_size_bytes)
                loaded.max_dynamic_shared_size_bytes = largest
        function: Callable[..., None] = loaded.kernel
        return function

    @functools.cache  # noqa: B019 (the executor lives as long as the process)
    def _load(self, kernel: Kernel, device: int) -> Any:
        arch = arch_of(self._cupy.cuda.Device(device).compute_capability)
        cubin = nvrtc.compile_kernel(kernel.file, arch, kernel.defines)
        return self._cupy.RawModule(path=str(cubin)).get_function(kernel.entry)


def _map_at(described: TensorMap, address: int) -> np.ndarray:
    """A tensor map in the form in which a launch takes it."""
    from pycnn.runtime.tensor_maps import bytes_of  # few kernels have maps

    return np.frombuffer(bytes_of(described, address), np.uint8)


def _table_at(table: Table, arrays: Mapping[Any, Any]) -> np.ndarray:
    """A table with the addresses of its arrays."""
    return np.array(table.filled(lambda b: arrays[b.name].data.ptr + b.offset))


def _packed(argument: np.generic | None) -> np.ndarray:
    """The bytes of a number, a struct or a null pointer."""
    return np.zeros((), np.uintp) if argument is None else np.array(argument)


def _cupy() -> Any:
    return import_extra("cupy", "cuda13", "a GPU (extra cuda12 with a driver for CUDA 12)")
