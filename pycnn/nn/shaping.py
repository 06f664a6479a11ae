"""Layers that move elements, or change extents, and learn nothing."""

import math
from typing import Any

import pycnn
from pycnn.define.validate import choice
from pycnn.nn.function import Function
from pycnn.nn.layer import Layer


class Flatten(Layer):
    """Every example as one row: (N, ...) to (N, F); channels first, wherever they lie in x."""

    def __init__(self, *, layout: str = "NCHW") -> None:
        super().__init__()
        self.layout = choice("layout", layout, ("NCHW", "NHWC"))

    def compute(self, x: Any) -> Any:
        if self.layout == "NHWC" and x.ndim > 2:
            x = pycnn.permute(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


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

    def compute(self, x: Any) -> Any:
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(
                f"x has shape {x.shape}; allowed: {math.prod(self.shape)} elements each"
            )
        return x.reshape(x.shape[0], *self.shape)


class Pad(Function, operation="pad"):
    """Borders around each example; arguments as `pycnn.pad`: the last axis first."""


class Upsample(Function, operation="interpolate"):
    """Resize by interpolation; arguments as `pycnn.interpolate`."""


class Permute(Layer):
    """Axes in another order, the batch staying first; see `pycnn.permute`."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def compute(self, x: Any) -> Any:
        return pycnn.permute(x, self.axes)


class ChannelShuffle(Function, operation="channel_shuffle"):
    """Channels of the groups interleaved; see `pycnn.channel_shuffle`.

    References
    ----------
    X. Zhang et al., "ShuffleNet", 2018, section 3.1.
    """


class PixelShuffle(Function, operation="pixel_shuffle"):
    """Channels to blocks of pixels; see `pycnn.pixel_shuffle`."""


class PixelUnshuffle(Function, operation="pixel_unshuffle"):
    """Blocks of pixels to channels; see `pycnn.pixel_unshuffle`."""


class DepthToSpace(Function, operation="depth_to_space"):
    """Channels to blocks of pixels; see `pycnn.depth_to_space`."""


class SpaceToDepth(Function, operation="space_to_depth"):
    """Blocks of pixels to channels; see `pycnn.space_to_depth`."""


class Unfold(Function, operation="unfold"):
    """Windows as columns; arguments as `pycnn.unfold`."""


class Fold(Function, operation="fold"):
    """The sum of columns as windows; arguments as `pycnn.fold`."""


class Mean(Function, operation="mean"):
    """Mean over axes; arguments as `pycnn.mean`."""


class Total(Function, operation="sum"):
    """Sum over axes; arguments as `pycnn.sum`. (`Sum` adds branches.)"""


class Max(Function, operation="amax"):
    """Maximum over axes; arguments as `pycnn.amax`."""


class Min(Function, operation="amin"):
    """Minimum over axes; arguments as `pycnn.amin`."""
