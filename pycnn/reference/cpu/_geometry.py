"""The extents of one convolution."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import EllipsisType

from pycnn.reference.cpu._common import Padding, Pair
from pycnn.shapes import conv_out


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

    def taps(self, rows: slice) -> Iterator[tuple[int, int, tuple[EllipsisType, slice, slice]]]:
        """(r, s, index of the padded pixels that the tap meets) for the output rows given."""
        (step, step_q), (dilation, dilation_q) = self.stride, self.dilation
        for r in range(self.weight_shape[2]):
            top = rows.start * step + r * dilation
            met = slice(top, top + (rows.stop - rows.start - 1) * step + 1, step)
            for s in range(self.weight_shape[3]):
                left = s * dilation_q
                yield r, s, (..., met, slice(left, left + (self.out[1] - 1) * step_q + 1, step_q))
