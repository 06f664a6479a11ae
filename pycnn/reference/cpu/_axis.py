"""Sliding windows along one axis, and which of them have a tap inside the input."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pycnn.reference.cpu._common import Padding, Pair
from pycnn.shapes import conv_out


class Tap(NamedTuple):
    """One tap along one axis: the windows that have it inside the input, and where there."""

    number: int
    windows: slice
    inputs: slice


@dataclass(frozen=True)
class Axis:
    """The windows along one axis."""

    extent: int
    kernel: int
    stride: int
    low: int
    high: int
    dilation: int
    out: int

    def taps(self) -> Iterator[Tap]:
        for number in range(self.kernel):
            offset = number * self.dilation - self.low
            first = max(0, -(offset // self.stride))
            last = min(self.out, (self.extent - 1 - offset) // self.stride + 1)
            if first < last:
                start = first * self.stride + offset
                stop = (last - 1) * self.stride + offset + 1
                yield Tap(number, slice(first, last), slice(start, stop, self.stride))

    def starts(self) -> np.ndarray:
        """Position of the first tap of every window; negative in the padding."""
        return np.arange(self.out) * self.stride - self.low


def axes(
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[Axis, Axis]:
    """The windows along the rows and along the columns of an image (N, C, H, W)."""

    def axis(i: int) -> Axis:
        extent, window = x_shape[2 + i], (kernel[i], stride[i])
        out = conv_out(extent, *padding[i], *window, dilation[i], ceil_mode)
        return Axis(extent, *window, *padding[i], dilation[i], out)

    return axis(0), axis(1)
