"""What a convolution is, to its plans: shapes, strides, and the struct that the kernels take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import gcd, prod
from operator import floordiv

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._epilogue import IDENTITY, Epilogue
from pycnn.runtime.plan import ArraySpec, Launch, Plan, Transform
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


class Unsupported(ValueError):
    """An algorithm cannot compute a problem; the message says why, in terms of its limit."""


@dataclass(frozen=True)
class Problem:
    """A convolution, in any direction.

    In the gradients `y` stands for dy, and what is computed (dx, dweight) is contiguous. One
    spatial axis is two, the first of extent 1.

    Attributes
    ----------
    x, weight, y : View
        (N, C, H, W), (K, C/G, R, S), (N, K, P, Q); or (N, C, D, H, W), (K, C/G, T, R, S),
        (N, K, Z, P, Q).
    stride, dilation : tuple of int
        One a spatial axis.
    pad_begin : tuple of int
        Padding above and to the left.
    groups : int
    epilogue : Epilogue
        What happens to a sum before it is stored; in the forward direction, and to dx.
    mode : str
        What lies beyond the edges of x: a name of `MODES`.
    pad_end : tuple of int
        Padding below and to the right. Kernels do without: it shows in the extent of `y`.
    spatial : int
        Number of spatial axes, 2 or 3.
    filters, channels : int
        K/G, C/G.
    taps, pixels : int
        R S, P Q; or T R S, Z P Q.
    """

    x: View
    weight: View
    y: View
    stride: Ints = (1, 1)
    pad_begin: Ints = (0, 0)
    dilation: Ints = (1, 1)
    groups: int = 1
    epilogue: Epilogue = IDENTITY
    mode: str = "zeros"
    pad_end: Ints = (0, 0)
    spatial: int = field(init=False, compare=False)
    filters: int = field(init=False, compare=False)
    channels: int = field(init=False, compare=False)
    taps: int = field(init=False, compare=False)
    pixels: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        weight = self.weight.shape
        self.__dict__.update(  # the way into a frozen instance
            spatial=len(self.x.shape) - 2,
            filters=weight[0] // self.groups,
            channels=weight[1],
            taps=prod(weight[2:]),
            pixels=prod(self.y.shape[2:]),
        )

    @property
    def dtype(self) -> str:
        return self.x.dtype

    @property
    def itemsize(self) -> int:
        return FLOATS[self.dtype].itemsize

    @property
    def sum_size(self) -> int:
        """Bytes of a sum that is not rounded yet."""
        return FLOATS[FLOATS[self.dtype].accumulate].itemsize

    def array(self, elements: int) -> ArraySpec:
        """Workspace for elements."""
        return ArraySpec((elements,), numpy_dtype(self.dtype))

    def sums(self, elements: int) -> ArraySpec:
        """Workspace for sums that are not rounded yet."""
        return ArraySpec((elements,), np.dtype(FLOATS[self.dtype].accumulate))

    @property
    def scalar(self) -> tuple[str, str]:
        return ("SCALAR", FLOATS[self.dtype].scalar)

    @property
    def windows(self) -> tuple[Ints, tuple[Pair, ...], Ints, int]:
        """Stride, padding, dilation and groups, as the references take them."""
        padding = tuple(zip(self.pad_begin, self.pad_end, strict=True))
        return self.stride, padding, self.dilation, self.groups

    def images(self, count: int) -> "Problem":
        """The same for `count` images."""
        x, y = (replace(v, shape=(count, *v.shape[1:])) for v in (self.x, self.y))
        return replace(self, x=x, y=y)

    def params(self, **changed: int) -> np.void:
        """The struct by value, `changed` in some fields."""
        # The kernels have three axes; where there are two, a first one of extent 1.
        one, zero = ((1,), (0,)) if self.spatial == 2 else ((), ())
        image, channel, *x = self.x.strides
        filters, terms, *weight = self.weight.strides
        result, plane, *y = self.y.strides
        stride, dilation = (*one, *self.stride), (*one, *self.dilation)
        common = tuple(map(gcd, stride, dilation))
        values = (
            *(image, channel, *zero, *x),
            *(self.filters * filters, filters, terms, *zero, *weight),
            *(result, plane, *zero, *y),
            *(self.x.shape[0], self.channels, *one, *self.x.shape[2:]),
            *(self.filters, *one, *self.weight.shape[2:]),
            *(*one, *self.y.shape[2:]),
            *stride,
            *(*zero, *self.pad_begin),
            *dilation,
            *map(floordiv, stride, common),
            *map(floordiv, dilation, common),
        )
        fields = dict(zip(_FIELDS, values, strict=True)) | {
            "bias_k": self.epilogue.bias or 0,
            "groups": self.groups,
            "mode": MODES[self.mode],
            "channels_last": self.y.channels_last,
        }
        return struct("pycnn/conv.cuh", "ConvParams", **fields | changed)


#: The operations by what they compute.
OPERATIONS = {
    "y": "conv2d",
    "dx": "conv2d_backward_input",
    "dweight": "conv2d_backward_weight",
    "dbias": "conv2d_backward_bias",
}


def planned(
    problem: Problem,
    output: str,
    shape: Ints,
    launches: Iterable[Launch | Transform],
    workspace: Mapping[str, ArraySpec] | None = None,
) -> Plan:
    """A plan whose algorithm is not yet named, as planners return it.

    Parameters
    ----------
    problem : Problem
    output : {"y", "dx", "dweight", "dbias"}
        What is computed, of `shape` and the problem's dtype.
    launches : iterable of Launch or Transform
    workspace : mapping of str to ArraySpec, optional
        Arrays of no elements may be among them.
    """
    arrays = {name: spec for name, spec in (workspace or {}).items() if spec.nbytes}
    result = {output: ArraySpec(shape, numpy_dtype(problem.dtype))}
    return Plan(OPERATIONS[output], "", tuple(launches), result, arrays)


def flat_grid(threads: int, block: int, what: str) -> tuple[int, int, int]:
    """Grid of a flat launch; raises `Unsupported` where it has too many blocks."""
    blocks = ceil_div(threads, block)
    if blocks > 2**31 - 1:
        raise Unsupported(f"{what} make {blocks} blocks; allowed: 2147483647")
    return blocks, 1, 1


def bytes_of(problem: Problem) -> dict[str, int]:
    """Of the arrays of a convolution and its gradients, by name; of x what windows touch."""
    size = FLOATS[problem.dtype].itemsize
    views = {"x": problem.x, "weight": problem.weight, "y": problem.y}
    found = {d + name: 1.0 * prod(v.shape) * size for name, v in views.items() for d in ("", "d")}
    for axis in range(problem.spatial):
        taps, outputs = problem.weight.shape[2 + axis], problem.y.shape[2 + axis]
        # Between neighbours in memory the sectors of those that are left out come all the same.
        if problem.stride[axis] > taps and problem.x.strides[2 + axis] != 1:
            found["x"] = found["x"] * min(1, outputs * taps / problem.x.shape[2 + axis])
    return {name: round(bytes_) for name, bytes_ in found.items()}
