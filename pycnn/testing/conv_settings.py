"""PyTorch's arguments of convolution, and the epilogue in its functions."""

from collections.abc import Mapping
from typing import Any

from pycnn.define.operation import Arrays
from pycnn.testing.tested import NoPeer


def first_axes(tensor: Any, layout: str, spatial: int) -> Any:
    """A PyTorch tensor with its channels before the spatial axes."""
    return tensor.movedim(-1, -1 - spatial) if layout == "NHWC" else tensor


def last_axes(tensor: Any, layout: str, spatial: int) -> Any:
    """The reverse of `first_axes`."""
    return tensor.movedim(-1 - spatial, -1) if layout == "NHWC" else tensor


def finished_by_torch(y: Any, tensors: Arrays, settings: Mapping[str, Any]) -> Any:
    """The epilogue after the bias, in PyTorch's functions."""
    import torch

    layout, activation = settings.get("layout", "NCHW"), settings.get("activation")
    if layout == "NHWC" and "residual" in tensors:
        raise NoPeer("the residual is compared in NCHW")
    along_k = (slice(None), *[None] * (tensors["weight"].ndim - 2))
    if "scale" in tensors:
        y = y * tensors["scale"][along_k]
    if "shift" in tensors:
        y = y + tensors["shift"][along_k]
    if "residual" in tensors:
        y = y + tensors["residual"]
    if activation is None:
        return y
    slope = {"negative_slope": settings.get("negative_slope", 0.01)}
    function = getattr(torch.nn.functional, activation)
    return function(y, **(slope if activation == "leaky_relu" else {}))
