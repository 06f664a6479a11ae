"""Plans of convolutions of 8-bit integers: one launch, one thread an output."""

from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import QUANTISED
from pycnn.plan.conv_problem import Problem, flat_grid
from pycnn.runtime.plan import ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

FILE = "conv/int8.cu"
BLOCK = 256

#: Channels that one instruction multiplies and adds.
WORD = 4


@dataclass(frozen=True)
class Quantised:
    """A convolution of integers.

    Attributes
    ----------
    problem : Problem
        Its dtype is that of x.
    weight_dtype : str
    x_zero : bool
        Whether x has a zero point other than 0.
    weight_zero : int or None
        Element stride of the weight's zero points along the filters, 0 for a single one; None
        if there are none.
    weight_scale : int
        The same of the weight's scales, where there are some.
    bias : int or None
        Element stride of the bias, None if there is none.
    """

    problem: Problem
    weight_dtype: str
    x_zero: bool = True
    weight_zero: int | None = 0
    weight_scale: int = 0
    bias: int | None = None


def words(problem: Problem) -> bool:
    """Whether four channels are one word of x and of the weight, as far as extents tell."""
    return problem.channels % WORD == 0 and in_words(problem.x) and in_words(problem.weight)


def in_words(view: View) -> bool:
    """Whether channels (axis 1) are neighbours, and every other step is one of whole words.

    Examples
    --------
    >>> shape = (1, 8, 3, 5)
    >>> [in_words(View.contiguous(shape, "int8", last)) for last in (True, False)]
    [True, False]
    """
    others = [
        stride
        for axis, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True))
        if axis != 1 and extent > 1
    ]
    return view.strides[1] == 1 and all(stride % WORD == 0 for stride in others)


def integer(quantised: Quantised, output: ArraySpec) -> Plan:
    """y, the sums in 32 bits; `output` is y as its caller sees it."""
    x_zero, weight_zero = _zero_points(quantised)
    arguments = (Buffer("x"), Buffer("weight"), x_zero, weight_zero, Buffer("y"))
    return _plan("conv2d_integer", "int8_forward", quantised, output, arguments)


def requantised(quantised: Quantised, output: ArraySpec) -> Plan:
    """y, the sums scaled, rounded and saturated to the type of `output`."""
    x_zero, weight_zero = _zero_points(quantised)
    x = (Buffer("x"), Buffer("x_scale"), x_zero)
    weight = (Buffer("weight"), Buffer("weight_scale"), weight_zero)
    y = (Buffer("y_scale"), Buffer("y_zero_point"))
    bias = None if quantised.bias is None else Buffer("bias")
    arguments = (*x, *weight, *y, bias, Buffer("y"))
    return _plan("qlinear_conv2d", "int8_requantised", quantised, output, arguments)


def _zero_points(quantised: Quantised) -> tuple[Buffer | None, Buffer | None]:
    """Of x and of the weight."""
    return (
        Buffer("x_zero_point") if quantised.x_zero else None,
        None if quantised.weight_zero is None else Buffer("weight_zero_point"),
    )


def _plan(
    op: str,
    entry: str,
    quantised: Quantised,
    output: ArraySpec,
    arguments: tuple[Buffer | None, ...],
) -> Plan:
    problem = quantised.problem
    limits = np.iinfo(output.dtype)
    params = struct(
        FILE,
        "Int8Params",
        weight_zero_k=quantised.weight_zero or 0,
        weight_scale_k=quantised.weight_scale,
        lowest=limits.min,
        highest=limits.max,
        words=words(problem),
    )
    types = (("X_TYPE", QUANTISED[problem.dtype]), ("W_TYPE", QUANTISED[quantised.weight_dtype]))
    count = prod(problem.y.shape)
    launches = () if count == 0 else (
        Launch(
            Kernel(FILE, entry, types),
            flat_grid(count, BLOCK, "the elements of y"),
            (BLOCK, 1, 1),
            (*arguments, problem.params(bias_k=quantised.bias or 0), params),
        ),
    )  # fmt: skip
    return Plan(op, "direct", launches, {"y": output})
