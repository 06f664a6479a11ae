"""Functions of one array, element by element, that no kernel of pycnn's computes."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.onnx.operators.registry import operator


def _unary(name: str, function: Callable[[Any], Any]) -> None:
    def apply(x: Any) -> Any:
        return function(x)

    operator(name)(apply)


for _name, _function in (
    ("Abs", np.abs), ("Neg", np.negative), ("Ceil", np.ceil), ("Floor", np.floor),
    ("Round", np.rint), ("Sqrt", np.sqrt), ("Exp", np.exp), ("Log", np.log), ("Sin", np.sin),
    ("Cos", np.cos), ("Tan", np.tan), ("Asin", np.arcsin), ("Acos", np.arccos),
    ("Atan", np.arctan), ("Sinh", np.sinh), ("Cosh", np.cosh), ("Asinh", np.arcsinh),
    ("Acosh", np.arccosh), ("Atanh", np.arctanh), ("Sign", np.sign), ("IsNaN", np.isnan),
    ("Not", np.logical_not), ("BitwiseNot", np.bitwise_not),
):  # fmt: skip
    _unary(_name, _function)


@operator("Reciprocal")
def reciprocal(x: Any) -> Any:
    return x.dtype.type(1) / x


@operator("Identity")
def identity(x: Any) -> Any:
    return x


@operator("IsInf")
def is_inf(x: Any, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    infinite = np.isinf(x)
    if not detect_negative:
        infinite = infinite & (x > 0)
    return infinite if detect_positive else infinite & (x < 0)


@operator("Erf")
def erf(x: Any) -> Any:
    """By the library of C, in float64 and rounded once: NumPy has no such function."""
    if hasattr(x, "get"):
        return importlib.import_module("cupyx.scipy.special").erf(x)
    return _erf(x.astype(np.float64)).astype(x.dtype)


_erf = np.vectorize(math.erf, otypes=[np.float64])
