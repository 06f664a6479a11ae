"""What layers that move elements are in ONNX: shapes, borders, blocks, interpolation."""

from typing import Any

import numpy as np

from pycnn import nn
from pycnn.onnx.write_layers import _MODES, Writer, _per_axis, _refuse, _writes


@_writes(nn.Reshape)
def _reshape(to: Writer, layer: Any, x: str, path: str) -> str:
    shape = np.array([0, *layer.shape], np.int64)
    return to.node("Reshape", [x, to.constant(shape, f"{path}.shape")])


@_writes(nn.Permute)
def _permute(to: Writer, layer: Any, x: str, path: str) -> str:
    rank = len(layer.axes)
    return to.node("Transpose", [x], perm=[axis % rank for axis in layer.axes])


@_writes(nn.PixelShuffle)
def _pixel_shuffle(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW")
    size = layer.settings["upscale_factor"]
    return to.node("DepthToSpace", [x], blocksize=size, mode="CRD")


@_writes(nn.DepthToSpace, nn.SpaceToDepth)
def _blocks(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW")
    size, mode = layer.settings["block_size"], layer.settings["mode"]
    if isinstance(layer, nn.DepthToSpace):
        return to.node("DepthToSpace", [x], blocksize=size, mode=mode)
    _refuse(path, layer, mode="DCR")
    return to.node("SpaceToDepth", [x], blocksize=size)


#: Modes of interpolation: ONNX's name, and the coordinates and rounding that go with it.
_INTERPOLATED = {
    "nearest": ("nearest", "asymmetric", "floor"),
    "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
    "linear": ("linear", "half_pixel", None),
    "bilinear": ("linear", "half_pixel", None),
    "trilinear": ("linear", "half_pixel", None),
    "bicubic": ("cubic", "half_pixel", None),
}


@_writes(nn.Upsample)
def _upsample(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW", antialias=False)
    settings, axes = layer.settings, to.rank - 2
    mode, coordinates, rounded = _INTERPOLATED[settings["mode"]]
    coordinates = "align_corners" if settings["align_corners"] else coordinates
    coordinates = settings["coordinate_mode"] or coordinates
    rounded = settings["nearest_mode"] or rounded
    inputs = [x, ""]
    if settings["size"] is None and not settings["recompute_scale_factor"]:
        factors = _per_axis(settings["scale_factor"], axes)
        inputs.append(to.constant(np.array([1, 1, *factors], np.float32), f"{path}.scales"))
    elif settings["size"] is None:
        raise ValueError(f"layer {path}: recompute_scale_factor=True has no counterpart")
    else:
        sizes = np.array(_per_axis(settings["size"], axes), np.int64)
        begins = np.array([0], np.int64)
        ends = np.array([2], np.int64)
        shape = to.node("Shape", [x])
        given = [shape, to.constant(begins, f"{path}.first"), to.constant(ends, f"{path}.second")]
        lead = to.node("Slice", given)
        sizes_name = to.constant(sizes, f"{path}.sizes")
        inputs += ["", to.node("Concat", [lead, sizes_name], axis=0)]
    return to.node("Resize", inputs, mode=mode, coordinate_transformation_mode=coordinates,
                   nearest_mode=rounded)  # fmt: skip


@_writes(nn.Pad)
def _pad(to: Writer, layer: Any, x: str, path: str) -> str:
    """Of the last axes, which are counted from the end."""
    settings = layer.settings
    pairs = list(zip(settings["padding"][::2], settings["padding"][1::2], strict=True))
    axes = np.array([-1 - i for i in range(len(pairs))], np.int64)
    amounts = np.array([a for a, _ in pairs] + [b for _, b in pairs], np.int64)
    mode = _MODES.get(settings["mode"], settings["mode"])
    value = np.array(settings["value"] or 0.0, np.float32)
    inputs = [to.constant(a, f"{path}.{n}")
              for a, n in ((amounts, "pads"), (value, "value"), (axes, "axes"))]  # fmt: skip
    return to.node("Pad", [x, *inputs], mode=mode)
