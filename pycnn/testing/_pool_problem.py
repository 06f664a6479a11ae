"""Windows as the oracle takes them, and PyTorch's arguments of pooling."""

from collections.abc import Mapping, Sequence
from typing import Any

from pycnn.define._pool_problem import Problem
from pycnn.define.validate import paddings, per_axis
from pycnn.reference.oracle import _window
from pycnn.testing.tested import NoPeer


def windows(problem: Problem) -> list[list[range]]:
    """As the oracle takes them."""
    return [
        _window.sliding(a.extent, a.windows, a.kernel, a.stride, a.low, a.dilation)
        if a.kernel
        else _window.adaptive(a.extent, a.windows)
        for a in problem.pooling.axes
    ]


def to_torch(tensor: Any, spatial: int, settings: Mapping[str, Any]) -> Any:
    """A tensor with the channels before the spatial axes."""
    if settings.get("layout") != "NHWC":
        return tensor
    return tensor.movedim(-1, -1 - spatial).contiguous()


def from_torch(tensor: Any, spatial: int, settings: Mapping[str, Any]) -> Any:
    """The reverse of `to_torch`."""
    return tensor.movedim(-1 - spatial, -1) if settings.get("layout") == "NHWC" else tensor


def torch_settings(
    settings: Mapping[str, Any], spatial: int, lacks: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings without the layout, padding as one number an axis.

    Raises
    ------
    NoPeer
        If the padding is not the same on both sides or more than half of the kernel, or there is
        a setting that PyTorch's function `lacks`.
    """
    rest = {name: value for name, value in settings.items() if name != "layout"}
    for name in lacks:
        if name in rest:
            raise NoPeer(f"PyTorch has no such pooling with {name}")
    if "padding" in rest:
        sides = paddings(rest["padding"], spatial)
        if any(low != high for low, high in sides):
            raise NoPeer("PyTorch has no pooling with padding that differs from side to side")
        kernel = per_axis("kernel_size", rest["kernel_size"], 1, spatial)
        if any(2 * low > taps for (low, _), taps in zip(sides, kernel, strict=True)):
            raise NoPeer("PyTorch has no pooling with padding of more than half of the kernel")
        rest["padding"] = tuple(low for low, _ in sides)
    return rest
