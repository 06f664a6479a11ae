"""Layers that move elements, or change extents, and learn nothing."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

import pycnn
from pycnn.nn.function import Function, OfBoth, OfShape
from pycnn.nn.layer import Layer


class Flatten(Layer):
    """Every example as one row: (N, ...) to (N, F)."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return x.reshape(x.shape[0], math.prod(x.shape[1:])), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return dy.reshape(kept), {}


class Reshape(Layer):
    """Every example in another shape.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.Reshape(128, 7, 7).output_shape((6272,))
    (128, 7, 7)
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(
                f"x has shape {x.shape}; allowed: {math.prod(self.shape)} elements each"
            )
        return x.reshape(x.shape[0], *self.shape), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return dy.reshape(kept), {}

    def describe(self) -> str:
        return ", ".join(map(str, self.shape))


class Pad(Function, operation="pad"):
    """Borders around each example; arguments as `pycnn.pad`: the last axis first."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.pad(x, **self.settings), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.back(dy), {}


class Upsample(OfShape, operation="interpolate"):
    """Resize by interpolation; arguments as `pycnn.interpolate`."""

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        extents = kept[2:] if self.settings["layout"] == "NCHW" else kept[1:-1]
        return self.back(dy, extents), {}


class Permute(Layer):
    """Axes in another order, the batch staying first; see `pycnn.permute`."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.permute(x, self.axes), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        back = tuple(int(i) for i in np.argsort(self.axes))
        return pycnn.permute(dy, back), {}

    def describe(self) -> str:
        return ", ".join(map(str, self.axes))


class ChannelShuffle(Function, operation="channel_shuffle"):
    """Channels of the groups interleaved; see `pycnn.channel_shuffle`.

    References
    ----------
    X. Zhang et al., "ShuffleNet", 2018, section 3.1.
    """

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.channel_shuffle(x, **self.settings), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        groups, layout = self.settings["groups"], self.settings["layout"]
        channels = dy.shape[1 if layout == "NCHW" else -1]
        return pycnn.channel_shuffle(dy, channels // groups, layout=layout), {}


class _Blocks(Function):
    """Its gradient is the operation that puts the elements back."""

    inverse: ClassVar[Callable[..., Any]]

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return type(self).operation(x, **self.settings), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        extent, *order = (v for name, v in self.settings.items() if name != "layout")
        return type(self).inverse(dy, extent, *order, layout=self.settings["layout"]), {}


class PixelShuffle(_Blocks, operation="pixel_shuffle"):
    """Channels to blocks of pixels; see `pycnn.pixel_shuffle`."""

    inverse = staticmethod(pycnn.pixel_unshuffle)


class PixelUnshuffle(_Blocks, operation="pixel_unshuffle"):
    """Blocks of pixels to channels; see `pycnn.pixel_unshuffle`."""

    inverse = staticmethod(pycnn.pixel_shuffle)


class DepthToSpace(_Blocks, operation="depth_to_space"):
    """Channels to blocks of pixels; see `pycnn.depth_to_space`."""

    inverse = staticmethod(pycnn.space_to_depth)


class SpaceToDepth(_Blocks, operation="space_to_depth"):
    """Blocks of pixels to channels; see `pycnn.space_to_depth`."""

    inverse = staticmethod(pycnn.depth_to_space)


class Unfold(OfShape, operation="unfold"):
    """Windows as columns; arguments as `pycnn.unfold`."""

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.fold(dy, kept[2:], **self.settings), {}


class Fold(Function, operation="fold"):
    """The sum of columns as windows; arguments as `pycnn.fold`."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.fold(x, **self.settings), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.unfold(
            dy, **{n: v for n, v in self.settings.items() if n != "output_size"}
        ), {}


class Mean(OfShape, operation="mean"):
    """Mean over axes; arguments as `pycnn.mean`."""


class Total(OfShape, operation="sum"):
    """Sum over axes; arguments as `pycnn.sum`. (`Sum` adds branches.)"""


class Max(OfBoth, operation="amax"):
    """Maximum over axes; arguments as `pycnn.amax`."""


class Min(OfBoth, operation="amin"):
    """Minimum over axes; arguments as `pycnn.amin`."""
