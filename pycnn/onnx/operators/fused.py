"""Convolution with what follows it in the same kernel; no operators of ONNX's."""

from collections.abc import Sequence
from typing import Any

from pycnn.onnx.operators.convolution import conv, conv_transpose
from pycnn.onnx.operators.registry import Operator

Ints = Sequence[int] | None


def _fused(name: str, function: Any) -> Operator:
    def apply(
        x: Any,
        w: Any,
        b: Any = None,
        residual: Any = None,
        *,
        activation: str | None = None,
        negative_slope: float = 0.01,
        **attributes: Any,
    ) -> Any:
        epilogue = {"residual": residual, "activation": activation}
        if activation == "leaky_relu":
            epilogue["negative_slope"] = negative_slope
        return function(x, w, b, epilogue=epilogue, **attributes)

    return Operator(name, "pycnn", 1, apply, True, frozenset())


FUSED = {"Conv": _fused("Conv", conv), "ConvTranspose": _fused("ConvTranspose", conv_transpose)}
