"""Definitions of products of 8-bit integers: convolutions with windows of one pixel, to plans."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_int8 import INT8, SCALE, Conv2dInteger, IntegerConv, QlinearConv2d
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays
from pycnn.define.validate import check_shape
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import conv_int8 as plans
from pycnn.plan.conv_problem import Unsupported
from pycnn.runtime.plan import Plan, renamed

#: Operands of a convolution: what they are called here.
_NAMES = {
    "x": "a", "x_scale": "a_scale", "x_zero_point": "a_zero_point",
    "weight": "b", "weight_scale": "b_scale", "weight_zero_point": "b_zero_point",
}  # fmt: skip
_THEIRS = {own: name for name, own in _NAMES.items()}

A = Operand("a", "(M, K)", (2,))
A_ZERO = Operand("a_zero_point", "(), one value", (0,), optional=True)
B = Operand("b", "(K, N)", (2,), INT8)
B_ZERO = Operand("b_zero_point", "() or (N,)", (0, 1), INT8, optional=True)


#: What convolutions are refused for, in their words, and in those of products.
_WORDS = {
    r"x has (\d+) channels a group": r"a has \1 columns",
    r"element strides \((-?\d+), (-?\d+), .*\) of x; allowed: channels innermost":
        r"element strides (\1, \2) of a; allowed: columns next to each other",
    "zero points of x or of the weight": "zero points of a or of b",
    "a copy of the weight with its channels innermost": "a copy of b, column by column,",
}  # fmt: skip


class Multiplying(plans.Convolving):
    """By one of the algorithms of such a convolution."""

    names = "a", "b"

    def plan(self, algo: str) -> Plan:
        return renamed(super().plan(algo), _NAMES)

    def _plan(self, algo: str) -> Plan:
        if algo != plans.DIRECT and not self.quantised.problem.channels:
            raise Unsupported("a has no columns; allowed: 1 and more")
        try:
            return super()._plan(algo)
        except Unsupported as refused:
            said = str(refused)
            for theirs, ours in _WORDS.items():
                said = re.sub(theirs, ours, said)
            raise Unsupported(said) from None


class IntegerProduct(IntegerConv):
    """Rows of A are images of one pixel, columns of B filters."""

    family = "gemm"
    layouts: tuple[str, ...] = ()
    planner = Multiplying
    fixed: Mapping[str, Any] = {
        "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "layout": "NHWC"
    }  # fmt: skip

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        a, b, zero = views["a"], views["b"], views.get("b_zero_point")
        (m, k), n = a.shape, b.shape[1]
        if b.shape[0] != k or not n:
            raise ValueError(f"b has shape {b.shape}; allowed: ({k}, N), N from 1 on")
        if zero is not None and zero.dtype != b.dtype:
            raise TypeError(f"b_zero_point has dtype {zero.dtype}; allowed: {b.dtype}, that of b")
        for name in ("b_scale", "b_zero_point", "bias"):
            if name in views and views[name].rank:
                check_shape(name, views[name].shape, (n,), "one value a column")
        (row, col), (term, column) = a.strides, b.strides
        terms = max(k, 1)  # no convolution is one of no channels, but a sum of no terms is 0
        images = View((m, 1, 1, terms), (row, row, row, col), a.dtype)
        filters = View((n, terms, 1, 1), (column, term, term, term), b.dtype)
        others = {_THEIRS.get(name, name): view for name, view in views.items()}
        settings, outputs = super().infer({**others, "x": images, "weight": filters}, args)
        if not k:
            problem = settings.problem
            x, weight = (
                replace(v, shape=(v.shape[0], 0, 1, 1)) for v in (problem.x, problem.weight)
            )
            quantised = replace(settings.quantised, problem=replace(problem, x=x, weight=weight))
            settings = replace(settings, quantised=quantised)
        return settings, {"y": ((m, n), outputs["y"][1])}

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        others = {_THEIRS.get(name, name): array for name, array in arrays.items()}
        x, weight = arrays["a"][:, None, None], arrays["b"].T[:, :, None, None]
        return self.by_convolution(call, {**others, "x": x, "weight": weight})


class MatmulInteger(IntegerProduct, Conv2dInteger):
    """The sums as they are."""

    name = "matmul_integer"
    operands = (A, B, A_ZERO, B_ZERO)


class QlinearMatmul(IntegerProduct, QlinearConv2d):
    """The sums with a bias, scaled back to 8 bits."""

    name = "qlinear_matmul"
    operands = (
        A,
        Operand("a_scale", *SCALE),
        B,
        Operand("b_scale", "() or (N,)", (0, 1), ("float32",)),
        Operand("y_scale", *SCALE),
        Operand("y_zero_point", "(), one value", (0,), INT8),
        A_ZERO,
        B_ZERO,
        Operand("bias", "(N,)", (1,), ("int32",), optional=True),
    )

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {_NAMES.get(name, name): found for name, found in super().allowed(call).items()}


MATMUL_INTEGER, QLINEAR_MATMUL = MatmulInteger(), QlinearMatmul()

DEFINITIONS = (MATMUL_INTEGER, QLINEAR_MATMUL)
