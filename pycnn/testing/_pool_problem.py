"""Windows as the oracle takes them, and PyTorch's arguments of pooling."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from pycnn.reference.oracle import _window, pool as oracle
from pycnn.testing.reading import Ints, each, positions, sides
from pycnn.testing.tested import NoPeer

Windows = list[list[range]]


def sliding(s: Any, extents: Ints) -> Windows:
    """What every window covers of x, axis by axis, by the settings of sliding windows."""
    windows = []
    for extent, (taps, step, pair, apart) in zip(extents, _along(s, len(extents)), strict=True):
        count = positions(extent, taps, step, pair, apart, s.ceil_mode)
        windows.append(_window.sliding(extent, count, taps, step, pair[0], apart))
    return windows


def adaptive(output_size: Any, extents: Ints) -> Windows:
    """The same of so many windows; None for as many as there are elements."""
    sizes = each(output_size, len(extents))
    return [
        _window.adaptive(extent, extent if size is None else size)
        for extent, size in zip(extents, sizes, strict=True)
    ]


def everything(extents: Ints) -> Windows:
    """The same of one window."""
    return [[range(extent)] for extent in extents]


def divisors(s: Any, extents: Ints, windows: Windows, count_include_pad: bool) -> np.ndarray:
    """What the sums of sliding windows are divided by."""
    kernel, stride, padding, dilation = zip(*_along(s, len(extents)), strict=True)
    along = kernel, stride, padding, dilation
    return oracle.divisors(extents, windows, *along, count_include_pad)


def taps(s: Any, axes: int) -> int:
    """Of one window."""
    return prod(each(s.kernel_size, axes))


def largest(windows: Windows) -> int:
    """Elements of x under the window that has most of them."""
    return prod(max(map(len, axis), default=1) for axis in windows)


def number(windows: Windows) -> int:
    """Windows of a plane."""
    return prod(map(len, windows))


def _along(s: Any, axes: int) -> list[Any]:
    """(kernel, stride, (before, after), dilation) of every axis."""
    kernel = each(s.kernel_size, axes)
    stride = each(s.stride, axes) if s.stride else kernel
    return [*zip(kernel, stride, sides(s.padding, axes), each(s.dilation, axes), strict=True)]


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
    """The settings without the layout.

    Raises
    ------
    NoPeer
        If there is a setting that PyTorch's function `lacks`.
    """
    for name in lacks:
        if name in settings:
            raise NoPeer(f"PyTorch has no such pooling with {name}")
    return {name: value for name, value in settings.items() if name != "layout"}


def padded_by_torch(x: Any, spatial: int, settings: dict[str, Any], fill: float) -> tuple[Any, Any]:
    """x and settings, with padding that PyTorch's pooling has no form for around x already.

    Its own is the same on both sides.
    """
    import torch

    pairs = sides(settings.get("padding", 0), spatial)
    if all(low == high for low, high in pairs):
        return x, settings
    if settings.get("ceil_mode") or not settings.get("count_include_pad", True):
        raise NoPeer("PyTorch's pooling must know here what is padding")
    padded = torch.nn.functional.pad(x, [n for pair in reversed(pairs) for n in pair], value=fill)
    return padded, {name: value for name, value in settings.items() if name != "padding"}
