"""What kernels/include/pycnn/implicit_gemm.cuh multiplies: indices of three digits, and structs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntFlag
from math import prod

import numpy as np

from pycnn.runtime.plan import Buffer
from pycnn.runtime.structs import struct

HEADER = "pycnn/implicit_gemm.cuh"


class Chunked(IntFlag):
    """enum Chunked of kernels/include/pycnn/implicit_gemm.cuh."""

    OPERANDS = 1
    C = 2
    RESIDUAL = 4


@dataclass(frozen=True)
class Index:
    """A flat index as three digits, the last one fastest, and what a step of each moves.

    Attributes
    ----------
    extents, x, other, row, col : sequence of int
        For every digit: its extent, element strides in x and in A or C, steps of the position.
    first : (int, int)
        Position in x of the index 0.
    """

    extents: Sequence[int]
    x: Sequence[int]
    other: Sequence[int]
    row: Sequence[int]
    col: Sequence[int]
    first: Sequence[int] = (0, 0)

    @property
    def count(self) -> int:
        return prod(self.extents)

    @property
    def step(self) -> int:
        """Distance in A or C of two indices that follow each other."""
        taken = [s for s, extent in zip(self.other, self.extents, strict=True) if extent > 1]
        return abs(taken[-1]) if taken else 1

    def ordered(self, *digits: int) -> "Index":
        """With the digits in another order."""
        names = ("extents", "x", "other", "row", "col")
        return replace(self, **{name: [getattr(self, name)[d] for d in digits] for name in names})

    @property
    def settled(self) -> "Index":
        """With no strides of digits that are always 0, such as from tap to tap of a 1x1 filter."""

        def taken(strides: Sequence[int]) -> tuple[int, ...]:
            return tuple(s * (e > 1) for s, e in zip(strides, self.extents, strict=True))

        return replace(self, x=taken(self.x), other=taken(self.other))

    def chunked(self, chunk: int) -> "Index":
        """With one index for every `chunk` of the last digit."""

        def last(values: Sequence[int], by: int) -> Sequence[int]:
            return (*values[:-1], by)

        return replace(
            self,
            extents=last(self.extents, self.extents[-1] // chunk),
            x=last(self.x, self.x[-1] * chunk),
            other=last(self.other, self.other[-1] * chunk),
        )

    def digits(self, step: int) -> np.void:
        """struct Decomposition, for iterators that go `step` indices at a time."""
        _, middle, last = (max(1, extent) for extent in self.extents)
        steps = (step // last // middle, step // last % middle, step % last)

        def moves(strides: Sequence[int]) -> tuple[int, int, int]:
            high, of_middle, of_last = strides
            whole = sum(a * b for a, b in zip(steps, strides, strict=True))
            return whole, of_middle - last * of_last, high - middle * of_middle

        return struct(
            HEADER, "Decomposition",
            count=self.count, x=self.x, other=self.other,
            row=self.row, col=self.col,
            first_row=self.first[0], first_col=self.first[1],
            middle=middle, last=last,
            step=steps, reserved=0,
            x_moves=moves(self.x), other_moves=moves(self.other),
        )  # fmt: skip


@dataclass(frozen=True)
class Product:
    """A matrix product C = A B, and where the operands lie.

    Attributes
    ----------
    k, n : Index
    m, a_m, c_m : int
        Rows of A and C in a group, and element strides from one to the next.
    a_group, c_group : int
        From one group to the next.
    b_k_major : bool
        Whether neighbours in x are neighbours in the sum.
    a, x, c, residual : Buffer
        The last one counts if the epilogue has one.
    """

    k: Index
    n: Index
    m: int
    a_m: int
    c_m: int
    a_group: int
    c_group: int
    b_k_major: bool
    a: Buffer
    x: Buffer
    c: Buffer
    residual: Buffer
