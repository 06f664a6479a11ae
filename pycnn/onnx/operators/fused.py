"""Convolution with what follows it in the same kernel; no operators of ONNX's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.onnx.operators.convolution import conv, conv_transpose, geometry
from pycnn.onnx.operators.registry import Operator
from pycnn.shapes import conv_out

Ints = Sequence[int] | None


def _fused(name: str, function: Any) -> Operator:
    def apply(
        x: Any,
        w: Any,
        b: Any = None,
        residual: Any = None,
        whole: Any = None,
        *,
        part: tuple[int, int] | None = None,
        activation: str | None = None,
        negative_slope: float = 0.01,
        **attributes: Any,
    ) -> Any:
        epilogue = {"residual": residual, "activation": activation}
        if activation == "leaky_relu":
            epilogue["negative_slope"] = negative_slope
        if part is None:
            return function(x, w, b, epilogue=epilogue, **attributes)
        whole = _all_channels(x, w, part[1], attributes) if whole is None else whole
        mine = whole[:, part[0] : part[0] + w.shape[0]]
        if mine.flags.c_contiguous:
            function(x, w, b, epilogue=epilogue | {"out": mine}, **attributes)
        else:  # of several images
            mine[...] = function(x, w, b, epilogue=epilogue, **attributes)
        return whole

    return Operator(name, "pycnn", 1, apply, True, frozenset())


def _all_channels(x: Any, w: Any, channels: int, attributes: dict[str, Any]) -> Any:
    """Room for a convolution and for others of the same extents."""
    settings = geometry(
        x,
        w,
        attributes.get("auto_pad", "NOTSET"),
        attributes.get("dilations"),
        attributes.get("group", 1),
        attributes.get("pads"),
        attributes.get("strides"),
    )
    windows = zip(settings["padding"], settings["stride"], settings["dilation"], strict=True)
    extents = [
        conv_out(extent, low, high, taps, step, apart)
        for extent, taps, ((low, high), step, apart) in zip(
            x.shape[2:], w.shape[2:], windows, strict=True
        )
    ]
    return np.empty((x.shape[0], channels, *extents), x.dtype, like=x)


FUSED = {"Conv": _fused("Conv", conv), "ConvTranspose": _fused("ConvTranspose", conv_transpose)}
