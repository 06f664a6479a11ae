"""What a convolution is, to its plans: shapes, strides, and the struct that the kernels take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from math import gcd, prod
from operator import mul

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.plan._epilogue import IDENTITY, Epilogue
from pycnn.runtime.plan import Launch
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

Ints = tuple[int, ...]
Pair = tuple[int, int]
Four = tuple[int, int, int, int]

#: What a position beyond the edges of x stands for: zero, or the element that reflection, the
#: nearest edge or the period leads to. `mode` of ConvParams, enum Beyond.
MODES = {"zeros": 0, "reflect": 1, "replicate": 2, "circular": 3}

#: Coordinates are ints in the kernels, and the last, partly filled tile reaches a little further.
MAX_EXTENT = 2**31 - 2**16


#: Members of ConvParams that come by the axis, in the order of `Problem.params`.
_FIELDS = (
    *("x_n", "x_c", "x_d", "x_h", "x_w"),
    *("w_g", "w_k", "w_c", "w_t", "w_r", "w_s"),
    *("y_n", "y_k", "y_z", "y_p", "y_q"),
    *("n", "c", "d", "h", "w"),
    *("k", "t", "r", "s"),
    *("z", "p", "q"),
    *("stride_d", "stride_h", "stride_w"),
    *("front", "top", "left"),
    *("dilation_d", "dilation_h", "dilation_w"),
    *("tap_step_d", "tap_step_h", "tap_step_w"),
    *("out_step_d", "out_step_h", "out_step_w"),
)


class Unfit(ValueError):
    """An algorithm cannot compute a problem; the message says why, in terms of its limit."""


def contiguous(shape: Ints) -> Ints:
    """Element strides of a C-contiguous array.

    Examples
    --------
    >>> contiguous((2, 3, 4, 5))
    (60, 20, 5, 1)
    """
    return tuple(accumulate(shape[:0:-1], mul, initial=1))[::-1]


@dataclass(frozen=True)
class View:
    """Shape and element strides of an array (N, C, H, W) or (N, C, D, H, W)."""

    shape: Ints
    strides: Ints

    @classmethod
    def of(cls, shape: Ints, channels_last: bool = False) -> "View":
        """Contiguous, in the order of `shape` or with the channels innermost."""
        if not channels_last:
            return cls(shape, contiguous(shape))
        n, c, *spatial = shape
        image, *inner, channel = contiguous((n, *spatial, c))
        return cls(shape, (image, channel, *inner))

    @property
    def channels_last(self) -> bool:
        """Whether neighbours in memory are channels of one pixel, as far as extents tell."""
        return self.strides[1] == 1 and self.shape[1] > 1 and self.strides[-1] != 1

    @property
    def deep(self) -> "View":
        """With three spatial axes, the first of extent 1 if need be."""
        if len(self.shape) == 5:
            return self
        return View(_deep(self.shape, 1, 2), _deep(self.strides, 0, 2))

    def merged(self, first: int, last: int) -> int | None:
        """The stride that walks the axes `first` to `last` as one; None if there is none.

        Examples
        --------
        >>> View((2, 3, 4, 5), (60, 20, 5, 1)).merged(2, 3), View.of((2, 3, 4, 5)).merged(0, 3)
        (1, 1)
        >>> View((2, 3, 4, 5), (60, 20, -5, 1)).merged(2, 3) is None
        True
        """
        axes = [a for a in range(first, last + 1) if self.shape[a] > 1]
        for outer, inner in pairwise(axes):
            if self.strides[outer] != self.shape[inner] * self.strides[inner]:
                return None
        return self.strides[axes[-1]] if axes else 1


@dataclass(frozen=True)
class Problem:
    """A convolution, in any direction.

    In the gradients `y` stands for dy, and what is computed (dx, dweight) is contiguous. One
    spatial axis is two, the first of extent 1.

    Attributes
    ----------
    dtype : str
    x, weight, y : View
        (N, C, H, W), (K, C/G, R, S), (N, K, P, Q); or (N, C, D, H, W), (K, C/G, T, R, S),
        (N, K, Z, P, Q).
    stride, dilation : tuple of int
        One a spatial axis.
    corner : tuple of int
        Padding above and to the left; that below and to the right shows in the extent of `y`.
    groups : int
    epilogue : Epilogue
        What happens to a sum before it is stored; in the forward direction, and to dx.
    mode : str
        What lies beyond the edges of x: a name of `MODES`.
    """

    dtype: str
    x: View
    weight: View
    y: View
    stride: Ints = (1, 1)
    corner: Ints = (0, 0)
    dilation: Ints = (1, 1)
    groups: int = 1
    epilogue: Epilogue = IDENTITY
    mode: str = "zeros"

    @cached_property
    def itemsize(self) -> int:
        return FLOATS[self.dtype].itemsize

    @cached_property
    def spatial(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.x.shape) - 2

    @cached_property
    def filters(self) -> int:
        """K/G."""
        return self.weight.shape[0] // self.groups

    @cached_property
    def channels(self) -> int:
        """C/G."""
        return self.weight.shape[1]

    @cached_property
    def taps(self) -> int:
        """R S, or T R S."""
        return prod(self.weight.shape[2:])

    @cached_property
    def pixels(self) -> int:
        """P Q, or Z P Q."""
        return prod(self.y.shape[2:])

    @property
    def scalar(self) -> tuple[str, str]:
        return ("SCALAR", FLOATS[self.dtype].scalar)

    def images(self, count: int) -> "Problem":
        """The same for `count` images."""
        x, y = (View((count, *v.shape[1:]), v.strides) for v in (self.x, self.y))
        return replace(self, x=x, y=y)

    def params(self, **changed: int) -> np.void:
        """The struct by value, `changed` in some fields."""
        x, weight, y = self.x.deep, self.weight.deep, self.y.deep
        stride, dilation = _deep(self.stride, 1), _deep(self.dilation, 1)
        common = [gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
        values = (
            *x.strides,
            *(self.filters * weight.strides[0], *weight.strides),
            *y.strides,
            *(x.shape[0], self.channels, *x.shape[2:]),
            *(self.filters, *weight.shape[2:]),
            *y.shape[2:],
            *stride,
            *_deep(self.corner, 0),
            *dilation,
            *[s // g for s, g in zip(stride, common, strict=True)],
            *[d // g for d, g in zip(dilation, common, strict=True)],
        )
        fields = dict(zip(_FIELDS, values, strict=True)) | {
            "bias_k": self.epilogue.bias or 0,
            "groups": self.groups,
            "mode": MODES[self.mode],
            "channels_last": self.y.channels_last,
        }
        return struct("pycnn/conv.cuh", "ConvParams", **fields | changed)


def _deep(values: Ints, fill: int, before: int = 0) -> Ints:
    """Values of three spatial axes, which begin at place `before`; `fill` for a missing one."""
    missing = 3 + before - len(values)
    return (*values[:before], *[fill] * missing, *values[before:])


@dataclass(frozen=True)
class Steps:
    """Launches in order, and the workspace they use: elements by name."""

    launches: tuple[Launch, ...]
    workspace: Mapping[str, int]


def flat_grid(threads: int, block: int, what: str) -> tuple[int, int, int]:
    """Grid of a flat launch; raises `Unfit` where it has too many blocks."""
    blocks = ceil_div(threads, block)
    if blocks > 2**31 - 1:
        raise Unfit(f"{what} make {blocks} blocks; allowed: 2147483647")
    return blocks, 1, 1
