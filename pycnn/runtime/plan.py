"""What a plan is: kernels, launches and memory, as plain immutable data.

A plan is made from shapes alone. It needs no GPU and no emulator to be made, printed or
tested; the executors ``cuda`` and ``emulator`` both run it as it stands.
"""

from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.dtypes import FLOATS

Dim3 = tuple[int, int, int]

#: Hardware limits on the grid, the same for every architecture since sm_30.
MAX_GRID: Dim3 = (2**31 - 1, 65535, 65535)
MAX_BLOCK_THREADS = 1024

#: Value of the macro SCALAR, the element type that a kernel is compiled for, by name of the dtype.
SCALAR = {f.name: f.scalar for f in FLOATS.values()}


#: Whether plans are made in brief (`pycnn.plan._chunks`), and how often what is planned now is
#: launched then.
BRIEF: ContextVar[bool] = ContextVar("pycnn_brief", default=False)
TIMES: ContextVar[int] = ContextVar("pycnn_times", default=1)


@dataclass(frozen=True)
class Kernel:
    """An entry of a file under ``kernels/``, with the macros it is compiled with."""

    file: str
    entry: str
    defines: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        macros = ", ".join(f"{name}={value}" for name, value in self.defines)
        return f"{self.file}:{self.entry}" + (f"[{macros}]" if macros else "")


@dataclass(frozen=True)
class Buffer:
    """An array by name (input, output or workspace), from a byte offset on."""

    name: str
    offset: int = 0


#: Bytes that the address of an array divides of which boxes are copied.
ALIGNED = 16


@dataclass(frozen=True)
class TensorMap:
    """A kernel argument by value, ``CUtensorMap``: of which array boxes are copied, and which.

    The executor encodes it where it knows the array's address.

    Attributes
    ----------
    array : Buffer
    dtype : str
        That of the array, or "tf32", to which float32 is rounded as it is copied.
    shape, strides : tuple of int
        Of the array, or what is seen of it; strides in elements, the last one 1.
    box : tuple of int
        Extents of a box, one an axis; or of an im2col map, pixels and channels.
    corners : (tuple of int, tuple of int), optional
        Of an im2col map, an axis of pixels each: the first base pixel against the first of an
        image, and the last against the last.
    steps : tuple of int, optional
        Of an im2col map, an axis of pixels each: from a base pixel to the next.
    swizzle : int, default 128
        Bytes within which chunks of 16 bytes change places.
    optional : bool, default False
        Whether the kernel does without it where the array begins at no multiple of 16 bytes: it
        then gets zeros.
    """

    array: Buffer
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    corners: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    steps: tuple[int, ...] = ()
    swizzle: int = 128
    optional: bool = False

    def misplaced(self, address: int) -> bool:
        """Whether there is no map of the array at an address, and the kernel needs one."""
        return bool(address % ALIGNED) and not self.optional


@dataclass(frozen=True, eq=False)
class Table:
    """A kernel argument by value: a struct that says where many arrays begin.

    The executor fills in the addresses, which it alone knows.

    Attributes
    ----------
    struct : numpy.void
        All but the addresses, which are zero.
    arrays : mapping of str to tuple of Buffer or None
        By the member that holds addresses, an array each; None leaves a zero.
    """

    struct: np.void
    arrays: Mapping[str, tuple[Buffer | None, ...]]

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """All of them."""
        return tuple([b for of in self.arrays.values() for b in of if b is not None])

    def filled(self, address: Callable[[Buffer], int]) -> np.void:
        """The struct with the addresses."""
        whole = self.struct.copy()
        for member, of in self.arrays.items():
            whole[member][: len(of)] = [0 if b is None else address(b) for b in of]
        return whole


#: A kernel argument: an array, a map of it, a table of many, a NumPy scalar or structured scalar by
#: value, or a null pointer.
Argument = Buffer | TensorMap | Table | np.generic | None


@dataclass(frozen=True)
class Launch:
    """One kernel launch.

    Attributes
    ----------
    kernel : Kernel
    grid, block : (int, int, int)
    args : tuple of Argument
    shared : int, default 0
        Bytes of dynamic shared memory.
    unaligned : Launch, optional
        What is launched instead where an array of a `TensorMap` begins at no multiple of 16 bytes,
        which only the executor knows. Without it that is an error.
    times : int
        How often, each time on another part of the arrays. Always once in a plan that is to be run.
    """

    kernel: Kernel
    grid: Dim3
    block: Dim3
    args: tuple[Argument, ...]
    shared: int = 0
    unaligned: "Launch | None" = None
    times: int = field(default_factory=TIMES.get)

    @property
    def maps(self) -> tuple[TensorMap, ...]:
        """Those among the arguments."""
        return tuple([a for a in self.args if isinstance(a, TensorMap)])

    @property
    def names(self) -> set[str]:
        """Of the arrays among the arguments."""
        arrays = (*self.args, *(described.array for described in self.maps))
        listed = [b for a in self.args if isinstance(a, Table) for b in a.buffers]
        return {a.name for a in (*arrays, *listed) if isinstance(a, Buffer)}

    def __post_init__(self) -> None:
        for axis, (extent, limit) in enumerate(zip(self.grid, MAX_GRID, strict=True)):
            if not 1 <= extent <= limit:
                raise ValueError(
                    f"{self.kernel}: grid {self.grid} has extent {extent} on axis {axis}; "
                    f"allowed: 1 to {limit}"
                )
        if not 1 <= prod(self.block) <= MAX_BLOCK_THREADS:
            raise ValueError(
                f"{self.kernel}: block {self.block} has {prod(self.block)} threads; "
                f"allowed: 1 to {MAX_BLOCK_THREADS}"
            )


@dataclass(frozen=True)
class Transform:
    """A Fourier transform by the library, the one step of a plan that is no kernel of ours.

    Attributes
    ----------
    kind : {"rfft2", "irfft2"}
        Of real images to the first half of their spectra, or back, over the last two axes, scaled
        as ``numpy.fft`` has it.
    args : (Buffer, Buffer)
        Source and target, both from their first byte on and contiguous. The target is an array of
        the workspace that the library allocates.
    shape : (int, int, int)
        Images, rows and columns of the real array; spectra have columns // 2 + 1 columns.
    dtype : {"float32", "float64"}
        Of the real array; spectra are complex numbers of the same precision.
    """

    kind: str
    args: tuple[Argument, ...]
    shape: tuple[int, int, int]
    dtype: str

    @property
    def names(self) -> tuple[str, str]:
        """Of source and target."""
        source, target = (a.name for a in self.args if isinstance(a, Buffer))
        return source, target

    def run(self, arrays: MutableMapping[str, Any], fft: Any) -> None:
        """Carry it out by `fft`, which is ``numpy.fft`` or ``cupy.fft``."""
        source, target = self.names
        spectrum = np.result_type(self.dtype, np.complex64)
        images, rows, cols = self.shape
        forward = self.kind == "rfft2"
        shape = (images, rows, cols if forward else cols // 2 + 1)
        flat = arrays[source].view(self.dtype if forward else spectrum)[: prod(shape)]
        transformed = getattr(fft, self.kind)(flat.reshape(shape), s=(rows, cols), axes=(1, 2))
        # NumPy before 2.0 computes in double precision.
        arrays[target] = transformed.astype(spectrum if forward else self.dtype, copy=False).ravel()


@dataclass(frozen=True)
class ArraySpec:
    """A C-contiguous array that the executor allocates, uninitialised."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)  # compared by identity: a cached plan is one object
class Plan:
    """How one operation on given shapes is computed.

    Attributes
    ----------
    op, algo : str
        The operation and the algorithm chosen for it.
    launches : tuple of Launch or Transform
        Run in this order on one stream. None for an empty output.
    outputs, workspace : mapping of str to ArraySpec
        What is allocated before the first launch; workspace is released after the last.
    """

    op: str
    algo: str
    launches: tuple[Launch | Transform, ...]
    outputs: Mapping[str, ArraySpec]
    workspace: Mapping[str, ArraySpec] = field(default_factory=dict)

    @cached_property
    def allocated(self) -> Mapping[str, ArraySpec]:
        """The workspace without what the library allocates for its transforms."""
        targets = {x.names[1] for x in self.launches if isinstance(x, Transform)}
        return {name: spec for name, spec in self.workspace.items() if name not in targets}

    @property
    def workspace_bytes(self) -> int:
        return sum(spec.nbytes for spec in self.workspace.values())


def renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    """The same plan on arrays of other names: a gradient that serves as another operation."""

    def argument(of: Argument) -> Argument:
        if isinstance(of, TensorMap):
            return replace(
                of, array=replace(of.array, name=names.get(of.array.name, of.array.name))
            )
        return replace(of, name=names.get(of.name, of.name)) if isinstance(of, Buffer) else of

    def launch(step: Any) -> Any:
        again = replace(step, args=tuple(map(argument, step.args)))
        if isinstance(again, Launch) and again.unaligned is not None:
            return replace(again, unaligned=launch(again.unaligned))
        return again

    outputs = {names.get(name, name): spec for name, spec in plan.outputs.items()}
    return replace(plan, launches=tuple(map(launch, plan.launches)), outputs=outputs)
