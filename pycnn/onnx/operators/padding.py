"""More elements around an array, or fewer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers, is_float, normal_axis, scalar
from pycnn.onnx.operators.registry import operator
from pycnn.onnx.operators.windows import flat, pairs

Ints = Sequence[int] | None

#: ONNX's names in pycnn's and in NumPy's.
_MODES = {
    "constant": ("constant", "constant"),
    "reflect": ("reflect", "reflect"),
    "edge": ("replicate", "edge"),
    "wrap": ("circular", "wrap"),
}


@operator("Pad", kernels=True)
def pad(
    x: Any,
    amounts: Any = None,
    constant: Any = None,
    axes: Any = None,
    *,
    mode: str = "constant",
    pads: Ints = None,
    paddings: Ints = None,
    value: float = 0.0,
) -> Any:
    """Amounts are an input, before opset 11 an attribute."""
    if mode not in _MODES:
        raise OnnxError(f"mode {mode!r}; allowed: {', '.join(_MODES)}")
    listed = integers(amounts) if amounts is not None else list(pads or paddings or [])
    chosen = range(x.ndim) if axes is None else [normal_axis(a, x.ndim) for a in integers(axes)]
    sides = [(0, 0)] * x.ndim
    for axis, pair in zip(chosen, pairs(listed), strict=True):
        sides[axis] = pair
    check_size([max(e + a + b, 0) for e, (a, b) in zip(x.shape, sides, strict=True)], x.itemsize)
    fill = value if constant is None or not constant.size else scalar(constant)
    ours, theirs = _MODES[mode]
    if is_float(x) and (mode == "constant" or _within(mode, x.shape, sides)):
        settings = {"value": fill} if mode == "constant" else {}
        return pycnn.pad(x, flat(tuple(sides)), ours, **settings)
    inner = tuple(
        slice(max(-a, 0), e - max(-b, 0)) for e, (a, b) in zip(x.shape, sides, strict=True)
    )
    more = [(max(a, 0), max(b, 0)) for a, b in sides]
    if mode == "constant":
        return np.pad(x[inner], more, constant_values=fill)
    return np.pad(x[inner], more, theirs)  # type: ignore[call-overload]


def _within(mode: str, shape: Sequence[int], sides: Sequence[tuple[int, int]]) -> bool:
    """Whether the operation takes it: one reflection or one turn, and nothing cropped."""
    most = {"reflect": 1, "edge": -(2**40), "wrap": 0}[mode]
    return all(
        min(a, b) >= 0 and max(a, b) <= extent - most and (extent or not max(a, b))
        for extent, (a, b) in zip(shape, sides, strict=True)
    )
