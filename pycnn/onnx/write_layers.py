"""What a layer of `pycnn.nn` is in ONNX: nodes and constants."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycnn import nn
from pycnn.models.lenet import ScaledTanh
from pycnn.nn.arrays import to_numpy
from pycnn.nn.convolution import _Convolution
from pycnn.nn.layer import Layer
from pycnn.nn.normalisation import _BatchNorm
from pycnn.onnx.package import package


class Writer:
    """Nodes and constants, in the order in which the layers compute.

    Parameters
    ----------
    rank : int
        Of the model's input.
    dtype : numpy.dtype
        Of the model.
    """

    def __init__(self, rank: int, dtype: np.dtype) -> None:
        self.rank, self.dtype = rank, dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node, and the name of its result."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        given = {n: v for n, v in attributes.items() if v is not None}
        self.nodes.append(package("onnx.helper").make_node(kind, inputs, [name], name, **given))
        return name

    def constant(self, array: Any, name: str) -> str:
        """The name of a constant."""
        full = f"{name}_{len(self.constants)}"
        array = np.ascontiguousarray(to_numpy(array)).reshape(array.shape)
        self.constants.append(package("onnx.numpy_helper").from_array(array, full))
        return full

    def layer(self, layer: Layer, x: str, path: str) -> str:
        """The name of what a layer makes of x."""
        for kind in type(layer).__mro__:
            if kind in _WRITERS:
                if type(layer).compute is not getattr(kind, "compute", None):
                    break
                return _WRITERS[kind](self, layer, x, path)
        raise TypeError(f"layer {path}, {type(layer).__name__}, is not exported")


Write = Callable[[Writer, Any, str, str], str]
_WRITERS: dict[type, Write] = {}


def _writes(*kinds: type) -> Callable[[Write], Write]:
    def register(function: Write) -> Write:
        _WRITERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def _refuse(path: str, layer: Layer, **allowed: Any) -> None:
    """A `ValueError` where a setting is not the one that has a counterpart."""
    settings = getattr(layer, "settings", {})
    for name, value in allowed.items():
        found = settings.get(name, getattr(layer, name, value))
        if found != value:
            raise ValueError(f"layer {path}: {name}={found!r} has no counterpart; only {value!r}")


# --- what combines layers -----------------------------------------------------------------


@_writes(nn.Sequential, nn.Recompute)
def _sequential(to: Writer, layer: Any, x: str, path: str) -> str:
    for name, child in layer.children.items():
        x = to.layer(child, x, f"{path}.{name}")
    return x


@_writes(nn.Identity, nn.Tap, nn.Dropout, nn.Dropout2d)
def _identity(to: Writer, layer: Any, x: str, path: str) -> str:
    return x


def _branches(to: Writer, layer: Any, x: str, path: str) -> list[str]:
    return [to.layer(child, x, f"{path}.{name}") for name, child in layer.children.items()]


@_writes(nn.Sum)
def _sum(to: Writer, layer: Any, x: str, path: str) -> str:
    if layer.adds is not None:
        raise ValueError(f"layer {path} is fused; allowed: export before nn.fuse")
    first, *rest = _branches(to, layer, x, path)
    if layer.scale != 1.0 and rest:
        factor = np.array(layer.scale, layer.parameters()[0].value.dtype)
        first = to.node("Mul", [first, to.constant(factor, f"{path}.scale")])
    if not rest:
        return first
    return to.node("Add" if len(rest) == 1 else "Sum", [first, *rest])


@_writes(nn.Product)
def _product(to: Writer, layer: Any, x: str, path: str) -> str:
    return to.node("Mul", _branches(to, layer, x, path))


@_writes(nn.Concat)
def _concat(to: Writer, layer: Any, x: str, path: str) -> str:
    return to.node("Concat", _branches(to, layer, x, path), axis=layer.axis)


#: ONNX's names of what padding holds.
_MODES = {"replicate": "edge", "circular": "wrap", "reflect": "reflect"}

# --- products -------------------------------------------------------------------------------


def _per_axis(value: Any, axes: int) -> list[int]:
    return [value] * axes if isinstance(value, int) else list(value)


def _padding(value: Any, axes: int) -> dict[str, Any]:
    """``pads`` or ``auto_pad``."""
    if isinstance(value, str):
        return {"auto_pad": {"valid": "VALID", "same_lower": "SAME_LOWER"}.get(value, "SAME_UPPER")}
    pairs = [(v, v) if isinstance(v, int) else tuple(v) for v in _per_axis(value, axes)]
    return {"pads": [a for a, _ in pairs] + [b for _, b in pairs]}


@_writes(_Convolution)
def _convolution(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW", activation=None)
    settings, axes = layer.settings, layer.axes
    around = _padding(settings["padding"], axes)
    mode = settings.get("padding_mode", "zeros")
    if mode != "zeros":
        if "pads" not in around:
            raise ValueError(f"layer {path}: padding={settings['padding']!r} with {mode!r}")
        pads = np.array(around["pads"], np.int64)
        begins = np.array([*range(2, 2 + axes)], np.int64)
        given = [x, to.constant(pads, f"{path}.pads"), "", to.constant(begins, f"{path}.axes")]
        x, around = to.node("Pad", given, mode=_MODES[mode]), {}
    inputs = [x, *(to.constant(layer[n], f"{path}.{n}") for n in ("weight", "bias")
                   if n in layer.params)]  # fmt: skip
    attributes = {
        "kernel_shape": list(layer.kernel_size),
        "strides": _per_axis(settings["stride"], axes),
        "dilations": _per_axis(settings["dilation"], axes),
        "group": settings["groups"],
        **around,
    }
    if layer.transposed:
        attributes["output_padding"] = _per_axis(settings["output_padding"], axes)
        return to.node("ConvTranspose", inputs, **attributes)
    return to.node("Conv", inputs, **attributes)


@_writes(nn.Linear)
def _linear(to: Writer, layer: Any, x: str, path: str) -> str:
    """Of any rank: a product with the transposed weight, and a sum."""
    _refuse(path, layer, activation=None)
    weight = to.constant(layer["weight"].T, f"{path}.weight")
    y = to.node("MatMul", [x, weight])
    if "bias" not in layer.params:
        return y
    return to.node("Add", [y, to.constant(layer["bias"], f"{path}.bias")])


# --- pooling ---------------------------------------------------------------------------------


def _pool(kind: str, **renamed: str) -> Write:
    def write(to: Writer, layer: Any, x: str, path: str) -> str:
        _refuse(path, layer, layout="NCHW", return_indices=False, divisor_override=None)
        settings, axes = layer.settings, int(type(layer).__name__[-2])
        kernel = _per_axis(settings["kernel_size"], axes)
        stride = settings["stride"]
        attributes = {
            "kernel_shape": kernel,
            "strides": kernel if stride in (None, ()) else _per_axis(stride, axes),
            "dilations": _per_axis(settings["dilation"], axes),
            "ceil_mode": int(settings["ceil_mode"]),
            **_padding(settings["padding"], axes),
            **{theirs: int(settings[ours]) for ours, theirs in renamed.items()},
        }
        return to.node(kind, [x], **attributes)

    return write


for _axes in (1, 2, 3):
    _WRITERS[getattr(nn, f"MaxPool{_axes}d")] = _pool("MaxPool")
    _WRITERS[getattr(nn, f"AvgPool{_axes}d")] = _pool(
        "AveragePool", count_include_pad="count_include_pad"
    )


@_writes(nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)
def _norm_pool(to: Writer, layer: Any, x: str, path: str) -> str:
    """Of even norms: ONNX takes magnitudes, where the operation takes the elements themselves."""
    norm = layer.settings["norm_type"]
    if norm != int(norm) or norm < 2 or norm % 2:
        raise ValueError(f"layer {path}: norm_type={norm!r} has no counterpart; only 2, 4, 6, ...")
    return _pool("LpPool", norm_type="p")(to, layer, x, path)


@_writes(nn.GlobalAvgPool, nn.GlobalMaxPool)
def _global(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW", return_indices=False)
    return to.node(f"Global{'Max' if isinstance(layer, nn.GlobalMaxPool) else 'Average'}Pool", [x])


@_writes(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
def _adaptive(to: Writer, layer: Any, x: str, path: str) -> str:
    size = layer.settings["output_size"]
    if math.prod(_per_axis(size, 1)) != 1:
        raise ValueError(f"layer {path}: output_size={size} has no counterpart; only 1")
    return to.node("GlobalAveragePool", [x])


# --- element by element ----------------------------------------------------------------------


def _plain(kind: str, **attributes: Any) -> Write:
    return lambda to, layer, x, path: to.node(kind, [x], **attributes)


def _setting(kind: str, **names: str) -> Write:
    """An operator whose attributes have other names."""

    def write(to: Writer, layer: Any, x: str, path: str) -> str:
        return to.node(
            kind, [x], **{theirs: layer.settings[ours] for ours, theirs in names.items()}
        )

    return write


_WRITERS |= {
    nn.ReLU: _plain("Relu"),
    nn.Sigmoid: _plain("Sigmoid"),
    nn.Tanh: _plain("Tanh"),
    nn.Softsign: _plain("Softsign"),
    nn.Hardswish: _plain("HardSwish"),
    nn.Mish: _plain("Mish"),
    nn.SELU: _plain("Selu"),
    nn.Hardsigmoid: _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.LeakyReLU: _setting("LeakyRelu", negative_slope="alpha"),
    nn.ELU: _setting("Elu", alpha="alpha"),
    nn.CELU: _setting("Celu", alpha="alpha"),
    nn.GELU: _setting("Gelu", approximate="approximate"),
    nn.Softmax: _setting("Softmax", axis="axis"),
    nn.LogSoftmax: _setting("LogSoftmax", axis="axis"),
}


@_writes(nn.Flatten)
def _flatten(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW")
    return to.node("Flatten", [x], axis=1)


@_writes(nn.Softplus)
def _softplus(to: Writer, layer: Any, x: str, path: str) -> str:
    """Beyond the threshold the operation is x itself, which 20 is the first to equal in float32."""
    beta, threshold = layer.settings["beta"], layer.settings["threshold"]
    if threshold < 20 or beta <= 0:
        raise ValueError(
            f"layer {path}: beta={beta!r}, threshold={threshold!r} have no counterpart; only "
            "beta > 0 and threshold >= 20"
        )
    if beta == 1:
        return to.node("Softplus", [x])
    factor = to.constant(np.array(beta, to.dtype), f"{path}.beta")
    return to.node("Div", [to.node("Softplus", [to.node("Mul", [x, factor])]), factor])


@_writes(nn.SiLU)
def _silu(to: Writer, layer: Any, x: str, path: str) -> str:
    return to.node("Mul", [x, to.node("Sigmoid", [x])])


@_writes(nn.ReLU6, nn.Clip, nn.Hardtanh)
def _clip(to: Writer, layer: Any, x: str, path: str) -> str:
    settings = {"min": 0.0, "max": 6.0} if isinstance(layer, nn.ReLU6) else layer.settings
    low, high = (
        settings.get(a, settings.get(b)) for a, b in (("min", "min_val"), ("max", "max_val"))
    )
    bounds = ["" if v is None else to.constant(np.array(v, np.float32), f"{path}.bound")
              for v in (low, high)]  # fmt: skip
    return to.node("Clip", [x, *bounds])


@_writes(ScaledTanh)
def _scaled_tanh(to: Writer, layer: Any, x: str, path: str) -> str:
    inner, outer = (to.constant(np.array(v, np.float32), f"{path}.factor")
                    for v in (layer.slope, layer.amplitude))  # fmt: skip
    return to.node("Mul", [to.node("Tanh", [to.node("Mul", [x, inner])]), outer])


@_writes(nn.PReLU)
def _prelu(to: Writer, layer: Any, x: str, path: str) -> str:
    """One slope a channel is written for images, as ONNX broadcasts it."""
    slope = layer["weight"]
    shape = (-1, 1, 1) if slope.size > 1 else (1,)
    return to.node("PRelu", [x, to.constant(slope.reshape(shape), f"{path}.slope")])


# --- normalisation ---------------------------------------------------------------------------


def _affine(to: Writer, layer: Any, path: str, extents: Any, dtype: Any) -> list[str]:
    arrays = [layer.params.get("weight"), layer.params.get("bias")]
    made = [np.full(extents, 1 - i, dtype) if a is None else a for i, a in enumerate(arrays)]
    return [to.constant(a, f"{path}.{n}") for a, n in zip(made, ("weight", "bias"), strict=True)]


@_writes(_BatchNorm)
def _batch_norm(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW", activation=None)
    mean, var = layer["running_mean"], layer["running_var"]
    inputs = _affine(to, layer, path, mean.shape, mean.dtype)
    inputs += [to.constant(mean, f"{path}.mean"), to.constant(var, f"{path}.var")]
    return to.node("BatchNormalization", [x, *inputs], epsilon=layer.eps)


@_writes(nn.LayerNorm)
def _layer_norm(to: Writer, layer: Any, x: str, path: str) -> str:
    inputs = _affine(to, layer, path, layer.normalized_shape, np.float32)
    axis = -len(layer.normalized_shape)
    return to.node("LayerNormalization", [x, *inputs], axis=axis, epsilon=layer.eps)


@_writes(nn.GroupNorm)
def _group_norm(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW")
    inputs = _affine(to, layer, path, (layer.num_channels,), np.float32)
    return to.node(
        "GroupNormalization", [x, *inputs], num_groups=layer.num_groups, epsilon=layer.eps
    )


@_writes(nn.InstanceNorm)
def _instance_norm(to: Writer, layer: Any, x: str, path: str) -> str:
    """By running statistics it is a batch norm."""
    _refuse(path, layer, layout="NCHW")
    inputs = _affine(to, layer, path, (layer.num_features,), to.dtype)
    if not layer.track_running_stats:
        return to.node("InstanceNormalization", [x, *inputs], epsilon=layer.eps)
    inputs += [to.constant(layer[n], f"{path}.{n}") for n in ("running_mean", "running_var")]
    return to.node("BatchNormalization", [x, *inputs], epsilon=layer.eps)


@_writes(nn.LocalResponseNorm)
def _response_norm(to: Writer, layer: Any, x: str, path: str) -> str:
    _refuse(path, layer, layout="NCHW")
    settings = layer.settings
    return to.node("LRN", [x], size=settings["size"], alpha=settings["alpha"],
                   beta=settings["beta"], bias=settings["k"])  # fmt: skip
