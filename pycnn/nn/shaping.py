"""Layers that move elements, or change extents, and learn nothing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import pycnn
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


class Pad(Layer):
    """Borders around each example; arguments as `pycnn.pad`: the last axis first."""

    def __init__(self, padding: Sequence[int], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__()
        self.padding, self.mode, self.value = tuple(padding), mode, value

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.pad(x, self.padding, self.mode, self.value), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.pad_backward(dy, self.padding, self.mode), {}

    def describe(self) -> str:
        return str(self.padding) + ("" if self.mode == "constant" else f", {self.mode!r}")


class Upsample(Layer):
    """Resize by interpolation; arguments as `pycnn.interpolate`."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        *,
        layout: str = "NCHW",
    ) -> None:
        super().__init__()
        self.settings = {
            "scale_factor": scale_factor, "mode": mode, "align_corners": align_corners,
            "layout": layout,
        }  # fmt: skip
        self.size = size

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.interpolate(x, self.size, **self.settings), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        extents = kept[2:] if self.settings["layout"] == "NCHW" else kept[1:-1]
        return pycnn.interpolate_backward(dy, extents, **self.settings), {}

    def describe(self) -> str:
        scale = self.settings["scale_factor"]
        return f"scale_factor={scale}" if self.size is None else f"size={self.size}"


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


class ChannelShuffle(Layer):
    """Channels of the groups interleaved; see `pycnn.channel_shuffle`.

    References
    ----------
    X. Zhang et al., "ShuffleNet", 2018, section 3.1.
    """

    def __init__(self, groups: int, *, layout: str = "NCHW") -> None:
        super().__init__()
        self.groups, self.layout = groups, layout

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.channel_shuffle(x, self.groups, layout=self.layout), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        channels = dy.shape[1 if self.layout == "NCHW" else -1]
        return pycnn.channel_shuffle(dy, channels // self.groups, layout=self.layout), {}

    def describe(self) -> str:
        return str(self.groups)


class Unfold(Layer):
    """Windows as columns; arguments as `pycnn.unfold`."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.settings = {
            "kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride,
        }  # fmt: skip

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.unfold(x, **self.settings), x.shape[2:]

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.fold(dy, kept, **self.settings), {}

    def describe(self) -> str:
        return str(self.settings["kernel_size"])


class Fold(Layer):
    """The sum of columns as windows; arguments as `pycnn.fold`."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.settings = {
            "kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride,
        }  # fmt: skip

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.fold(x, self.output_size, **self.settings), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.unfold(dy, **self.settings), {}

    def describe(self) -> str:
        return f"{self.output_size}, {self.settings['kernel_size']}"


class _Reduction(Layer):
    def __init__(self, axis: int | tuple[int, ...] | None, keepdims: bool = False) -> None:
        super().__init__()
        self.axis, self.keepdims = axis, keepdims

    def describe(self) -> str:
        return f"axis={self.axis}"


class Mean(_Reduction):
    """Mean over axes; as `pycnn.mean`."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.mean(x, self.axis, self.keepdims), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.mean_backward(dy, kept, self.axis, self.keepdims), {}


class Total(_Reduction):
    """Sum over axes; as `pycnn.sum`. (`Sum` adds branches.)"""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.sum(x, self.axis, self.keepdims), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return pycnn.sum_backward(dy, kept, self.axis, self.keepdims), {}


class Max(_Reduction):
    """Maximum over axes; as `pycnn.amax`."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = pycnn.amax(x, self.axis, self.keepdims)
        return y, (x, y)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        x, y = kept
        return pycnn.amax_backward(dy, x, y, self.axis, self.keepdims), {}


class Min(_Reduction):
    """Minimum over axes; as `pycnn.amin`."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = pycnn.amin(x, self.axis, self.keepdims)
        return y, (x, y)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        x, y = kept
        return pycnn.amin_backward(dy, x, y, self.axis, self.keepdims), {}
