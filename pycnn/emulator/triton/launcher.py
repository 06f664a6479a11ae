"""One kernel's launches: Triton's arguments as the parameters of its entry."""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from pycnn.emulator.arrays import host_arguments
from pycnn.emulator.guarded import Pointer
from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.tensor_map import TensorMap, tensor_map

#: NumPy's types of Triton's, pointers apart.
_NUMBERS: dict[str, Any] = {
    "i1": np.int8, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u1": np.uint8, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "fp16": np.float16, "fp32": np.float32, "f32": np.float32, "fp64": np.float64,
}  # fmt: skip


class Launcher:
    """In place of ``triton.backends.nvidia.driver.CudaLauncher``.

    `watch`, where it is set, is called before each launch with the kernel, its grid, block and
    values, and bytes of shared memory.
    """

    watch: ClassVar[Callable[..., None] | None] = None

    def __init__(self, source: Any, metadata: Any) -> None:
        self._signature = tuple(source.signature.values())
        self._names = tuple(map(str, source.signature))
        self._descriptors = list(getattr(metadata, "tensordesc_meta", None) or [])
        self._threads = metadata.num_warps * 32
        self._blocks = getattr(metadata, "num_ctas", 1)
        self._shared = metadata.shared
        self._cooperative = getattr(metadata, "launch_cooperative_grid", False)
        self._global_scratch = (
            getattr(metadata, "global_scratch_size", 0),
            getattr(metadata, "global_scratch_align", 1),
        )
        if getattr(metadata, "profile_scratch_size", 0):
            raise PtxError("Triton's profiler in a kernel is not there", name=metadata.name)

    def __call__(
        self, x: int, y: int, z: int, stream: int, kernel: Any, packed: Any, launch_metadata: Any,
        enter_hook: Any, exit_hook: Any, *args: Any,
    ) -> None:  # fmt: skip
        if enter_hook is not None:
            enter_hook(launch_metadata)
        if x * y * z > 0:
            values = list(self._values(args))
            scratch = self._scratch(x * y * z)
            # One pointer or two that the compiler adds: scratch memory, and the profiler's.
            values += [scratch, None][: len(kernel.parameters) - len(values)]
            grid, block = (x * self._blocks, y, z), (self._threads, 1, 1)
            if Launcher.watch is not None:
                Launcher.watch(kernel, grid, block, values, self._shared)
            kernel(
                grid, block, values,
                shared_mem=self._shared, enable_cooperative_groups=self._cooperative,
                cluster=(self._blocks,) if self._blocks > 1 else None,
            )  # fmt: skip
        if exit_hook is not None:
            exit_hook(launch_metadata)

    def _scratch(self, programs: int) -> Any:
        size, align = self._global_scratch
        if not size:
            return None
        from triton.runtime import _allocation

        size *= programs * self._blocks
        memory = _allocation._allocator.get()(size + align, align, 0)
        return Aligned(memory, size, align)

    def _values(self, args: Any) -> Iterator[Any]:
        return _flat(self._names, self._signature, args, iter(self._descriptors))


class Aligned(Pointer):
    """Memory of Triton's allocator from an aligned address on."""

    def __init__(self, memory: Any, size: int, align: int) -> None:
        [array] = host_arguments([memory])
        address = int(array.__array_interface__["data"][0])
        whole = (ctypes.c_uint8 * size).from_address(address + -address % align)
        super().__init__(np.ctypeslib.as_array(whole), name="scratch memory")
        object.__setattr__(self, "memory", memory)  # which must live as long


def _flat(
    names: tuple[str, ...], signature: Any, args: Any, descriptors: Iterator[Any]
) -> Iterator[Any]:
    """The arguments that the kernel has parameters for, tuples taken apart."""
    for name, kind, argument in zip(names, signature, args, strict=True):
        if isinstance(kind, tuple):
            yield from _flat((name,) * len(kind), kind, argument, descriptors)
        elif kind != "constexpr":
            yield from _parameters(name, kind, argument, descriptors)


def _parameters(name: str, kind: str, argument: Any, descriptors: Iterator[Any]) -> Iterator[Any]:
    if kind.startswith("tensordesc"):
        yield from _descriptor(name, argument, next(descriptors, None))
    elif kind[0] == "*":
        yield _pointer(name, argument)
    elif kind == "bf16":
        yield np.uint16(_bfloat16(float(argument)))
    else:
        yield _NUMBERS[kind](argument)


def _pointer(name: str, argument: Any) -> Any:
    """A pointer by the parameter's name, for reports."""
    [argument] = host_arguments([getattr(argument, "array", argument)])
    return Pointer(argument, name=name) if isinstance(argument, np.ndarray) else argument


def _bfloat16(value: float) -> int:
    """Bits of a bfloat16, rounded to nearest even."""
    bits = int(np.float32(value).view(np.uint32))
    if np.isnan(value):
        return bits >> 16 | 64
    return bits + 0x7FFF + (bits >> 16 & 1) >> 16


#: As ``tensormap.replace`` numbers the types of elements, which is how Triton does.
_ELEMENTS = (
    "uint8", "uint16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float32_ftz",
    "float64", "bfloat16", "tf32", "tf32_ftz",
)  # fmt: skip


def _map(argument: Any, meta: Any, rounds: bool) -> TensorMap:
    if meta.get("is_im2col") or meta["fp4_padded"]:
        raise PtxError("descriptors for im2col and 4-bit floats are not there", name="Triton")
    [base] = host_arguments([getattr(argument.base, "array", argument.base)])
    strides = [stride * base.itemsize for stride in argument.strides]
    array = np.lib.stride_tricks.as_strided(base, argument.shape, strides)
    return tensor_map(
        array, meta["block_size"], swizzle=(0, 32, 64, 128)[meta["swizzle"]],
        fill="nan" if argument.padding == "nan" else "zeros",
        dtype="tf32" if rounds else _ELEMENTS[meta["elem_type"]],
    )  # fmt: skip


def _descriptor(name: str, argument: Any, meta: Any) -> Iterator[Any]:
    """A descriptor of a tensor: a tensor map, or what it says where the target has no TMA."""
    shape, strides = argument.shape, argument.strides
    rounds = bool(getattr(argument, "round_f32_to_tf32", False))
    if meta is None:
        yield _pointer(name, argument.base)
        yield from map(np.int64, (*shape, *strides))
        yield from (np.int8(argument.padding == "nan"), np.int8(rounds))
    else:
        yield _map(argument, meta, rounds)
    yield from map(np.int32, shape)
    yield from map(np.int64, strides)
