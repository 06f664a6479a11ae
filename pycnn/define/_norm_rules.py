"""What the definitions of normalisation share: parameters, layouts, cases."""

from collections.abc import Mapping
from math import prod
from typing import Any

from pycnn.define.operand import Operand
from pycnn.define.validate import check_shape, choice
from pycnn.define.views import View
from pycnn.dtypes import FLOATING, FLOATS
from pycnn.plan._norm import channels_first

LAYOUTS = ("NCHW", "NHWC")

IMAGES = Operand("x", "(N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W)", (2, 3, 4, 5))


def vector(name: str, optional: bool = True) -> Operand:
    """A parameter for each channel."""
    return Operand(name, "(C,)", (1,), FLOATING, optional)


def wide(dtype: str) -> str:
    """The dtype that `dtype` is computed in: that of statistics."""
    return FLOATS[dtype].accumulate


def check_parameters(
    views: Mapping[str, View], names: tuple[str, ...], shape: tuple[int, ...], meaning: str
) -> None:
    """Parameters have the right shape and the dtype of x, or of what x is computed in."""
    dtype = views["x"].dtype
    for name in names:
        if name not in views:
            continue
        check_shape(name, views[name].shape, shape, meaning)
        allowed = dict.fromkeys((dtype, wide(dtype)))
        if views[name].dtype not in allowed:
            raise TypeError(
                f"{name} has dtype {views[name].dtype}; allowed: {' or '.join(allowed)}, "
                f"as x has dtype {dtype}"
            )


def channel_count(x: View, layout: Any) -> int:
    """Channels of x; checks the layout."""
    return channels_first(x.shape, choice("layout", layout, LAYOUTS))[1]


def channel_axis(layout: str) -> int:
    """Axis of the channels, for the references."""
    return -1 if layout == "NHWC" else 1


def parameter_gradients(views: Mapping[str, View], shape: tuple[int, ...]) -> dict[str, Any]:
    """Outputs of a gradient: dx, and dweight and dbias of the weight's dtype."""
    x, weight = views["x"], views.get("weight")
    dtype = wide(x.dtype) if weight is None else weight.dtype
    return {"dx": (x.shape, None), "dweight": (shape, dtype), "dbias": (shape, dtype)}


def per_statistic(x: View, statistics: int) -> int:
    """Elements behind one mean."""
    return max(prod(x.shape) // max(statistics, 1), 1)
