"""Mapping elements and summing over some axes in one pass: kernels/include/pycnn/map_sum.cuh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._map import accum_scalars
from pycnn.plan._strided import Ints, row_major, strided
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Dim3, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: WARP and SUM_WARPS.
WARP, WARPS = 32, 8

#: Parts of all sums together that keep a large GPU busy, and the fewest terms worth a part.
ROW_PARTS, ROW_TERMS = 8192, 256
COLUMN_PARTS, COLUMN_TERMS = 1024, 64


@dataclass(frozen=True)
class MapSum:
    """Results of their own for all elements of operands, and sums over some axes.

    Attributes
    ----------
    file, entry : str
        The kernel, whose name ends in ``_rows`` or ``_columns``.
    shape : tuple of int
        Of all operands.
    inputs : tuple of (str, tuple of int)
        Name and element strides of every operand, in the order of the kernel's arguments.
    mapped : str or None
        Where the elements' own results go: contiguous, of `shape`.
    total : str
        Where the sums go: contiguous.
    summed : tuple of int
        The axes that are summed over.
    dtype : str
    constants : tuple of float, default ()
        What the kernel gets before the struct.
    """

    file: str
    entry: str
    shape: Ints
    inputs: tuple[tuple[str, Ints], ...]
    mapped: str | None
    total: str
    summed: Ints
    dtype: str
    constants: tuple[float, ...] = ()

    def launches(self) -> tuple[tuple[Launch, ...], Mapping[str, ArraySpec]]:
        """One launch, or two with parts in a workspace between them."""
        kept = tuple(a for a in range(len(self.shape)) if a not in self.summed)
        sums, terms = (prod(self.shape[a] for a in axes) for axes in (kept, self.summed))
        if sums == 0:
            return (), {}
        rows = self._runs_along(self.summed) or not self._runs_along(kept)
        parts, part_terms = _cut(sums, terms, rows)
        views = (*(strides for _, strides in self.inputs), row_major(self.shape))
        params = struct(
            "pycnn/map_sum.cuh", f"SumViews<{len(views)}>",
            kept=self._along(kept, views),
            summed=self._along(self.summed, views),
            sums=sums, terms=terms, parts=parts, part_terms=part_terms,
            fixed=self._fixed(),
        )  # fmt: skip
        place = f"{self.total}_parts"
        kernel = Kernel(self.file, f"{self.entry}_{'rows' if rows else 'columns'}", self._defines)
        first = Launch(
            kernel,
            (ceil_div(sums * parts, WARPS), 1, 1) if rows else (ceil_div(sums, WARP), parts, 1),
            (WARP, WARPS, 1),
            (
                *(Buffer(name) for name, _ in self.inputs),
                None if self.mapped is None else Buffer(self.mapped),
                Buffer(self.total),
                None if parts == 1 else Buffer(place),
                *accum_scalars(self.dtype, *self.constants),
                params,
            ),
        )
        if parts == 1:
            return (first,), {}
        accumulate = np.dtype(FLOATS[self.dtype].accumulate)
        return (first, self._add_parts(place, sums, parts)), {
            place: ArraySpec((sums, parts), accumulate)
        }

    @property
    def _defines(self) -> tuple[tuple[str, str], ...]:
        return (("SCALAR", SCALAR[self.dtype]),)

    def _runs_along(self, axes: Ints) -> bool:
        """Whether the first operand's closest neighbours are along one of `axes`."""
        steps = self.inputs[0][1]
        moving = [a for a, extent in enumerate(self.shape) if extent > 1 and steps[a]]
        closest = min(moving, key=lambda a: (abs(steps[a]), -a), default=None)
        return closest in axes

    def _fixed(self) -> int:
        """Bits of the operands that are the same along the summed axes, unless they are empty."""
        if 0 in self.shape:
            return 0
        return sum(
            1 << o
            for o, (_, steps) in enumerate(self.inputs)
            if not any(steps[a] for a in self.summed if self.shape[a] > 1)
        )

    def _along(self, axes: Ints, views: tuple[Ints, ...]) -> np.void:
        return strided(
            tuple(self.shape[a] for a in axes), [tuple(v[a] for a in axes) for v in views]
        )

    def _add_parts(self, place: str, sums: int, parts: int) -> Launch:
        grid: Dim3 = (ceil_div(sums, WARPS), 1, 1)
        arguments = (Buffer(place), Buffer(self.total), np.int64(sums), np.int64(parts))
        kernel = Kernel("elementwise/partial_sums.cu", "partial_sums", self._defines)
        return Launch(kernel, grid, (WARP, WARPS, 1), arguments)


def in_turn(op: str, passes: Sequence[MapSum], own: Mapping[str, Ints], dtype: str) -> Plan:
    """Passes one after the other, which write arrays with these names and shapes."""
    launches: tuple[Launch, ...] = ()
    workspace: dict[str, ArraySpec] = {}
    for each in passes:
        more, needed = each.launches()
        launches += more
        workspace |= needed
    outputs = {name: ArraySpec(shape, numpy_dtype(dtype)) for name, shape in own.items()}
    columns = any(launch.kernel.entry.endswith("columns") for launch in launches)
    return Plan(op, "columns" if columns else "rows", launches, outputs, workspace)


def _cut(sums: int, terms: int, rows: bool) -> tuple[int, int]:
    """Parts of every sum, and terms of a part: whole warps of rows, so that parts begin aligned."""
    if rows:
        parts, least, step = ceil_div(ROW_PARTS, sums), ROW_TERMS, WARP
    else:
        parts, least, step = ceil_div(COLUMN_PARTS, ceil_div(sums, WARP)), COLUMN_TERMS, WARPS
    parts = max(1, min(parts, terms // least))
    part_terms = max(1, ceil_div(terms, parts * step)) * step
    return max(1, ceil_div(terms, part_terms)), part_terms
