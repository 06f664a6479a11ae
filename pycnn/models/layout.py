"""A network that takes its inputs channels last."""

from typing import Any

from pycnn import nn
from pycnn.nn import activation
from pycnn.nn.combine import Combined

#: Layers that do the same in any layout.
ANY = (Combined, nn.Identity, nn.Dropout, nn.Linear, nn.Tap, nn.Recompute)


def to_channels_last(model: nn.Layer) -> None:
    """Have every layer take and give (N, H, W, C); weights stay as they are.

    Raises
    ------
    ValueError
        If a layer knows no other layout; nothing is changed.
    """
    layers = list(model.named_layers())
    for path, layer in layers:
        if not _knows(layer):
            raise ValueError(f"layout='NHWC': layer {path}, {layer!r} knows none; allowed: NCHW")
    for _, layer in layers:
        if isinstance(layer, nn.Concat):
            layer.axis = -1
        elif isinstance(layer, nn.Pad):
            sides = tuple(layer.settings["padding"])  # of the last axis first: W, H, C
            layer.settings["padding"] = (*(sides[4:6] or (0, 0)), *sides[:4])
        elif "layout" in getattr(layer, "settings", {}):
            layer.settings["layout"] = "NHWC"
        elif hasattr(layer, "layout"):
            layer.layout = "NHWC"


def _knows(layer: Any) -> bool:
    if isinstance(layer, nn.Concat):
        return layer.axis == 1
    if isinstance(layer, nn.Pad):
        return len(layer.settings["padding"]) in (4, 6)
    if isinstance(layer, nn.PReLU):
        return bool(layer.params["weight"].size == 1)
    if isinstance(layer, nn.Softmax | nn.LogSoftmax):
        return layer.settings["axis"] == -1
    if "layout" in getattr(layer, "settings", {}) or hasattr(layer, "layout"):
        return True
    elementwise = type(layer).__module__ == activation.__name__ or type(layer).elementwise
    plain = isinstance(layer, ANY) and not isinstance(layer, nn.Dropout2d)
    return elementwise or plain
