"""Settings of convolution as the oracle takes them, and as PyTorch does."""

from typing import Any

import numpy as np

from pycnn.define.operation import Arrays
from pycnn.testing.reading import Ints, Pairs, around, channels_first, each

#: What may come after the sum and its bias.
EPILOGUE = {"scale", "shift", "residual", "activation"}


def convolution(s: Any, x: np.ndarray, weight: np.ndarray) -> tuple[Ints, Pairs, Ints, int]:
    """Stride, padding, dilation and groups, of x (N, C, spatial axes)."""
    extents, kernel = x.shape[2:], weight.shape[2:]
    stride, dilation = (each(value, len(extents)) for value in (s.stride, s.dilation))
    return stride, around(s.padding, extents, kernel, stride, dilation), dilation, s.groups


def finish(s: Any, arrays: Arrays, spatial: int) -> dict[str, Any]:
    """What comes after the bias, as the oracle's `finished` takes it."""
    operands = {name: arrays[name] for name in ("scale", "shift", "residual") if name in arrays}
    if "residual" in operands:
        operands["residual"] = channels_first(operands["residual"], spatial, s.layout)
    return {**operands, "activation": s.activation, "slope": s.negative_slope}


def first_axes(tensor: Any, layout: str, spatial: int) -> Any:
    """A PyTorch tensor with its channels before the spatial axes."""
    return tensor.movedim(-1, -1 - spatial) if layout == "NHWC" else tensor


def last_axes(tensor: Any, layout: str, spatial: int) -> Any:
    """The reverse of `first_axes`."""
    return tensor.movedim(-1 - spatial, -1) if layout == "NHWC" else tensor


def padded_by_torch(
    x: Any, weight: Any, padding: Any, s: Any, mode: str = "zeros"
) -> tuple[Any, Any]:
    """x, and the padding that is left to PyTorch's convolution: all that it has a form for."""
    import torch

    axes = weight.ndim - 2
    if mode == "zeros" and np.ndim(padding) < 2 and padding not in ("same_upper", "same_lower"):
        return x, padding
    extents, stride, dilation = x.shape[-axes:], each(s.stride, axes), each(s.dilation, axes)
    pairs = around(padding, extents, weight.shape[2:], stride, dilation)
    last_axis_first = [number for pair in reversed(pairs) for number in pair]
    batched = x if x.ndim == weight.ndim else x[None]
    kind = "constant" if mode == "zeros" else mode
    padded = torch.nn.functional.pad(batched, last_axis_first, kind)
    return (padded if x.ndim == weight.ndim else padded[0]), 0


def finished_by_torch(y: Any, tensors: Arrays, s: Any, spatial: int) -> Any:
    """The epilogue after the bias, in PyTorch's functions; in the layout of the caller."""
    along_k = (slice(None), *[None] * spatial)
    if "scale" in tensors:
        y = y * tensors["scale"][along_k]
    if "shift" in tensors:
        y = y + tensors["shift"][along_k]
    if "residual" in tensors:
        y = y + first_axes(tensors["residual"], s.layout, spatial)
    return last_axes(activated_by_torch(y, s), s.layout, spatial)


def activated_by_torch(y: Any, s: Any) -> Any:
    """The activation at the end."""
    import torch

    if s.activation is None:
        return y
    slope = {"negative_slope": s.negative_slope} if s.activation == "leaky_relu" else {}
    return getattr(torch.nn.functional, s.activation)(y, **slope)
