"""The extents of one convolution, and its input padded and split into the phases of the stride.

Phase (i, j) holds every stride-th row and column of the padded image from (i, j) on. In it the
pixels that a tap meets lie side by side whatever the stride, which copies far faster.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from types import EllipsisType

import numpy as np

from pycnn.reference.cpu._axis import Sliding
from pycnn.reference.cpu._common import Padding, Pair, scratch
from pycnn.shapes import conv_out

PhaseIndex = tuple[int, int, EllipsisType, slice, slice]


@dataclass(frozen=True)
class Conv:
    """x (N, C, H, W) with weight (K, C/G, R, S) gives y (N, K, P, Q)."""

    x_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int

    @cached_property
    def out(self) -> Pair:
        extent, kernel = self.x_shape[2:], self.weight_shape[2:]
        p, q = (
            conv_out(extent[i], *self.padding[i], kernel[i], self.stride[i], self.dilation[i])
            for i in (0, 1)
        )
        return p, q

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.x_shape[0], self.weight_shape[0], *self.out)

    @property
    def phase_extents(self) -> Pair:
        """Height and width of a phase."""
        height, width = (
            -(-(sum(self.padding[i]) + self.x_shape[2 + i]) // self.stride[i]) for i in (0, 1)
        )
        return height, width

    @property
    def axes(self) -> tuple[Sliding, Sliding]:
        """Rows and columns, as windows over the input."""
        rows, columns = (
            Sliding(
                self.x_shape[2 + i],
                self.out[i],
                self.weight_shape[2 + i],
                self.stride[i],
                *self.padding[i],
                self.dilation[i],
            )
            for i in (0, 1)
        )
        return rows, columns

    @property
    def is_sparse(self) -> bool:
        """Next to the padded image, what goes in and comes out is nothing."""
        padded = prod(sum(self.padding[i]) + self.x_shape[2 + i] for i in (0, 1))
        return padded > max(2**16, 16 * (prod(self.x_shape[2:]) + prod(self.out)))

    @property
    def is_pointwise(self) -> bool:
        """Each output sees one pixel of the input, and none of the padding: no phase is copied."""
        return self.weight_shape[2:] == (1, 1) and self.padding == ((0, 0), (0, 0))

    def filters(self, weight: np.ndarray) -> np.ndarray:
        """(K, C/G, R, S) -> (G, K/G, C/G * R * S): the left-hand matrices."""
        k, c, r, s = self.weight_shape
        return weight.reshape(self.groups, k // self.groups, c * r * s)

    def taps(self, rows: slice) -> Iterator[tuple[int, int, PhaseIndex]]:
        """(r, s, index of the phases' pixels that the tap meets) for the output rows given."""
        for r, s, i, j, down, columns in self._steps:
            yield r, s, (i, j, ..., slice(rows.start + down, rows.stop + down), columns)

    @cached_property
    def _steps(self) -> list[tuple[int, int, int, int, int, slice]]:
        """(r, s, phase, phase, rows below the first, columns) of every tap."""
        steps = []
        for r, s in product(*map(range, self.weight_shape[2:])):
            down, i = divmod(r * self.dilation[0], self.stride[0])
            right, j = divmod(s * self.dilation[1], self.stride[1])
            steps.append((r, s, i, j, down, slice(right, right + self.out[1])))
        return steps

    def split(self, x: np.ndarray) -> np.ndarray:
        """Images (m, C, H, W) -> phases (stride, stride, m, C, height, width); a view if it can."""
        if self.is_pointwise:
            return x[None, None, :, :, :: self.stride[0], :: self.stride[1]]
        if self.padding == ((0, 0), (0, 0)) and self.stride == (1, 1):
            return x[None, None]
        m, c = x.shape[:2]
        phases = self.zero_phases(m, c, x.dtype)
        self.fill(phases, x)
        return phases

    def fill(self, phases: np.ndarray, x: np.ndarray) -> None:
        """Write the images (m, C, H, W) to their phases, which are zero around them."""
        for pixels, place in self._places:
            phases[place] = x[pixels]

    def join(self, phases: np.ndarray, x: np.ndarray) -> None:
        """Write the images (m, C, H, W) that the phases hold to x."""
        for pixels, place in self._places:
            x[pixels] = phases[place]

    def zero_phases(self, m: int, c: int, dtype: np.dtype) -> np.ndarray:
        """Phases of m images of c channels of zeros, in scratch memory."""
        phases = scratch("phases", (*self.stride, m, c, *self.phase_extents), dtype)
        phases.fill(0)
        return phases

    @cached_property
    def _places(self) -> list[tuple[tuple[EllipsisType, slice, slice], PhaseIndex]]:
        """Which pixels of an image each phase holds, and where."""

        def along(axis: int, phase: int) -> tuple[slice, slice]:
            step, low = self.stride[axis], self.padding[axis][0]
            pixels = slice((phase - low) % step, self.x_shape[2 + axis], step)
            first = (pixels.start + low) // step
            return pixels, slice(first, first + len(range(pixels.start, pixels.stop, step)))

        places: list[tuple[tuple[EllipsisType, slice, slice], PhaseIndex]] = []
        for i, j in product(*map(range, self.stride)):
            (rows, row_places), (columns, column_places) = along(0, i), along(1, j)
            places.append(((..., rows, columns), (i, j, ..., row_places, column_places)))
        return places
