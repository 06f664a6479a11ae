"""What a convolution is, to its plans: shapes, strides, and the struct that the kernels take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import gcd

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.plan._epilogue import IDENTITY, Epilogue
from pycnn.runtime.plan import Launch

Pair = tuple[int, int]
Four = tuple[int, int, int, int]

#: struct ConvParams of kernels/include/pycnn/conv.cuh, field by field.
PARAMS = np.dtype(
    [(f"x_{axis}", np.int64) for axis in "nchw"]
    + [(f"w_{axis}", np.int64) for axis in "gkcrs"]
    + [(f"y_{axis}", np.int64) for axis in "nkpq"]
    + [("bias_k", np.int64)]
    + [(name, np.int32) for name in ("n", "groups", *"chwkrspq")]
    + [(name, np.int32) for name in ("stride_h", "stride_w", "top", "left")]
    + [(name, np.int32) for name in ("dilation_h", "dilation_w")]
    + [(name, np.int32) for name in ("tap_step_h", "tap_step_w", "out_step_h", "out_step_w")]
)

#: What a position beyond the edges of x stands for: zero, or the element that reflection, the
#: nearest edge or the period leads to. Value of the macro MODE in kernels that take any.
MODES = {"zeros": 0, "reflect": 1, "replicate": 2, "circular": 3}

#: Coordinates are ints in the kernels, and the last, partly filled tile reaches a little further.
MAX_EXTENT = 2**31 - 2**16


class Unfit(ValueError):
    """An algorithm cannot compute a problem; the message says why, in terms of its limit."""


def contiguous(shape: Four) -> Four:
    """Element strides of a C-contiguous array."""
    _, b, c, d = shape
    return (b * c * d, c * d, d, 1)


@dataclass(frozen=True)
class View:
    """Shape and element strides of a four-dimensional array."""

    shape: Four
    strides: Four

    @classmethod
    def of(cls, shape: Four) -> "View":
        return cls(shape, contiguous(shape))

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

    In the gradients `y` stands for dy, and what is computed (dx, dweight) is contiguous.

    Attributes
    ----------
    dtype : str
    x, weight, y : View
        (N, C, H, W), (K, C/G, R, S), (N, K, P, Q).
    stride, dilation : (int, int)
    corner : (int, int)
        Padding above and to the left; that below and to the right shows in the extent of `y`.
    groups : int
    epilogue : Epilogue
        What happens to a sum before it is stored; forward only.
    mode : str
        What lies beyond the edges of x: a name of `MODES`.
    """

    dtype: str
    x: View
    weight: View
    y: View
    stride: Pair = (1, 1)
    corner: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    epilogue: Epilogue = IDENTITY
    mode: str = "zeros"

    @cached_property
    def itemsize(self) -> int:
        return FLOATS[self.dtype].itemsize

    @property
    def filters(self) -> int:
        """K/G."""
        return self.weight.shape[0] // self.groups

    @property
    def channels(self) -> int:
        """C/G."""
        return self.weight.shape[1]

    @property
    def taps(self) -> int:
        return self.weight.shape[2] * self.weight.shape[3]

    @property
    def pixels(self) -> int:
        """P Q."""
        return self.y.shape[2] * self.y.shape[3]

    @property
    def scalar(self) -> tuple[str, str]:
        return ("SCALAR", FLOATS[self.dtype].scalar)

    def images(self, count: int) -> "Problem":
        """The same for `count` images."""
        x, y = (View((count, *v.shape[1:]), v.strides) for v in (self.x, self.y))
        return replace(self, x=x, y=y)

    def params(self, **changed: int) -> np.void:
        """The struct by value, `changed` in some fields."""
        w = self.weight.strides
        g_h, g_w = (gcd(s, d) for s, d in zip(self.stride, self.dilation, strict=True))
        values: dict[str, int] = {
            **_named("x", "nchw", self.x.strides),
            **_named("w", "gkcrs", (self.filters * w[0], *w)),
            **_named("y", "nkpq", self.y.strides),
            "bias_k": self.epilogue.bias or 0,
            "groups": self.groups,
            **dict(zip("nchw", (self.x.shape[0], self.channels, *self.x.shape[2:]), strict=True)),
            **dict(zip("krs", (self.filters, *self.weight.shape[2:]), strict=True)),
            **dict(zip("pq", self.y.shape[2:], strict=True)),
            "stride_h": self.stride[0],
            "stride_w": self.stride[1],
            "top": self.corner[0],
            "left": self.corner[1],
            "dilation_h": self.dilation[0],
            "dilation_w": self.dilation[1],
            "tap_step_h": self.stride[0] // g_h,
            "tap_step_w": self.stride[1] // g_w,
            "out_step_h": self.dilation[0] // g_h,
            "out_step_w": self.dilation[1] // g_w,
            **changed,
        }
        return struct(PARAMS, values)


def struct(dtype: np.dtype, values: Mapping[str, object]) -> np.void:
    """A structured scalar from its fields by name; all of them, and no others."""
    if set(values) != set(dtype.fields or ()):
        raise KeyError(f"fields {sorted(set(values) ^ set(dtype.fields or ()))}")
    made: np.void = np.array([tuple(values[name] for name in dtype.names or ())], dtype)[0]
    return made


def _named(array: str, axes: str, strides: tuple[int, ...]) -> dict[str, int]:
    return {f"{array}_{axis}": stride for axis, stride in zip(axes, strides, strict=True)}


@dataclass(frozen=True)
class Steps:
    """Launches in order, and the workspace they use: elements by name."""

    launches: tuple[Launch, ...]
    workspace: Mapping[str, int]


def flat_grid(threads: int, block: int, what: str) -> tuple[int, int, int]:
    """Grid of a flat launch; raises `Unfit` where it has too many blocks."""
    blocks = -(-threads // block)
    if blocks > 2**31 - 1:
        raise Unfit(f"{what} make {blocks} blocks; allowed: 2147483647")
    return blocks, 1, 1
