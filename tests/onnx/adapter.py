"""ONNX nodes in terms of pycnn: one function an operator type, from inputs and attributes.

No backend, only what the tests need to run ONNX's own node tests: each function translates names,
fills in ONNX's defaults, and calls operations of pycnn. `EXCLUDED` says what is left out, and why.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn

Inputs = list[Any]
Node = Callable[..., tuple[Any, ...]]

NODES: dict[str, Node] = {}


def node(*types: str) -> Callable[[Node], Node]:
    """Register a function for operator types."""

    def register(function: Node) -> Node:
        NODES.update(dict.fromkeys(types, function))
        return function

    return register


# Convolution and pooling.


def _pairs(pads: list[int]) -> tuple[tuple[int, int], ...]:
    """ONNX lists all begins, then all ends."""
    half = len(pads) // 2
    return tuple(zip(pads[:half], pads[half:], strict=True))


def _window(x: np.ndarray, attributes: dict[str, Any]) -> dict[str, Any]:
    """kernel_size, stride, padding and dilation of a pooling node."""
    kernel = tuple(attributes["kernel_shape"])
    ones = [1] * len(kernel)
    stride, dilation = (tuple(attributes.get(n, ones)) for n in ("strides", "dilations"))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = _padding(attributes, x.shape[2:], spans, stride)
    return {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _padding(attributes: dict[str, Any], extents: Any, spans: Any, strides: Any) -> Any:
    kind = attributes.get("auto_pad", "NOTSET")
    if not kind.startswith("SAME"):
        return _pairs(attributes.get("pads", [0] * 2 * len(extents)))
    sides = []
    for extent, span, step in zip(extents, spans, strides, strict=True):
        total = max((-(-extent // step) - 1) * step + span - extent, 0)
        less, more = total // 2, total - total // 2
        sides.append((less, more) if kind == "SAME_UPPER" else (more, less))
    return tuple(sides)


def _of_rank(name: str, x: np.ndarray) -> Any:
    """``conv`` and a 4-D array: `pycnn.conv2d`."""
    return getattr(pycnn, f"{name}{x.ndim - 2}d")


@node("Conv")
def conv(x, w, b=None, *, group=1, strides=None, dilations=None, **attributes):
    axes = x.ndim - 2
    padding = attributes.get("auto_pad", "NOTSET").lower()
    if padding == "notset":
        padding = _pairs(attributes.get("pads", [0] * 2 * axes))
    y = _of_rank("conv", x)(
        x, w, b, tuple(strides or [1] * axes), padding, tuple(dilations or [1] * axes), group
    )
    return (y,)


@node("ConvTranspose")
def conv_transpose(x, w, b=None, *, group=1, strides=None, dilations=None, **attributes):
    axes = x.ndim - 2
    strides, dilations = (tuple(v or [1] * axes) for v in (strides, dilations))
    output_padding = list(attributes.get("output_padding", [0] * axes))
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    pads = _pairs(attributes.get("pads", [0] * 2 * axes))
    shape = attributes.get("output_shape")
    kind = attributes.get("auto_pad", "NOTSET")
    if shape is None and kind.startswith("SAME"):
        shape = [e * s for e, s in zip(x.shape[2:], strides, strict=True)]
    if shape is not None:  # the padding that leads to this shape
        pads = []
        for i, extent in enumerate(shape):
            full = (x.shape[2 + i] - 1) * strides[i] + output_padding[i] + spans[i]
            total = full - extent
            less, more = total // 2, total - total // 2
            if total < 0:  # longer than the full result: more at the end
                output_padding[i] -= total
                less = more = 0
            pads.append((less, more) if kind == "SAME_UPPER" else (more, less))
    y = _of_rank("conv_transpose", x)(
        x, w, b, strides, tuple(pads), tuple(output_padding), group, dilations
    )
    return (y,)


@node("ConvInteger")
def conv_integer(x, w, x_zero_point=None, w_zero_point=None, *, pads=(0, 0, 0, 0), **attributes):
    zero_points = {"x_zero_point": x_zero_point, "weight_zero_point": w_zero_point}
    return (pycnn.conv2d_integer(x, w, padding=_pairs(list(pads)), **zero_points),)


@node("QLinearConv")
def qlinear_conv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None):
    return (pycnn.qlinear_conv2d(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias),)


def _padded(x: np.ndarray, window: dict[str, Any], fill: float) -> tuple[Any, dict[str, Any]]:
    """x and window, with padding beyond half of the kernel, which pooling refuses, around x."""
    sides = zip(window["padding"], window["kernel_size"], strict=True)
    if all(2 * max(pair) <= kernel for pair, kernel in sides):
        return x, window
    flat = [n for pair in reversed(window["padding"]) for n in pair]
    return pycnn.pad(x, flat, value=fill), {**window, "padding": 0}


@node("MaxPool")
def max_pool(x, *, outputs, ceil_mode=0, **attributes):
    given = _window(x, attributes)
    padded, window = _padded(x, given, -np.inf)
    assert padded is x or not ceil_mode
    pool = _of_rank("max_pool", x)
    y, indices = pool(padded, **window, ceil_mode=bool(ceil_mode), return_indices=True)
    if padded is not x:
        at = np.unravel_index(indices, padded.shape[2:])
        inner = [a - low for a, (low, _) in zip(at, given["padding"], strict=True)]
        indices = np.ravel_multi_index(inner, x.shape[2:])
    # ONNX counts through the whole tensor, PyTorch within a plane.
    plane = int(np.prod(x.shape[2:]))
    first = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * (x.ndim - 2)) * plane
    return (y, indices + first)[:outputs]


@node("AveragePool")
def average_pool(x, *, ceil_mode=0, count_include_pad=0, **attributes):
    padded, window = _padded(x, _window(x, attributes), 0.0)
    if padded is x or count_include_pad:
        assert padded is x or not ceil_mode
        settings = {"ceil_mode": bool(ceil_mode), "count_include_pad": bool(count_include_pad)}
        return (_of_rank("avg_pool", x)(padded, **window, **settings),)
    counted, _ = _padded(np.ones_like(x), _window(x, attributes), 0.0)
    total, count = (
        _of_rank("sum_pool", x)(a, **window, ceil_mode=bool(ceil_mode)) for a in (padded, counted)
    )
    return (total / count,)


@node("LpPool")
def lp_pool(x, *, p=2, ceil_mode=0, **attributes):
    """ONNX takes magnitudes, PyTorch the power of signed values: equal for even p."""
    x, window = _padded(x, _window(x, attributes), 0.0)
    return (_of_rank("lp_pool", x)(np.abs(x), p, **window, ceil_mode=bool(ceil_mode)),)


@node("GlobalAveragePool")
def global_average_pool(x):
    return (pycnn.global_avg_pool(x),)


@node("GlobalMaxPool")
def global_max_pool(x):
    return (pycnn.global_max_pool(x),)


@node("MaxUnpool")
def max_unpool(x, indices, output_shape=None, *, kernel_shape, strides, pads=None):
    size = None if output_shape is None else tuple(int(e) for e in output_shape[2:])
    extents = size or tuple(
        (e - 1) * s + k for e, s, k in zip(x.shape[2:], strides, kernel_shape, strict=True)
    )
    # Of a single plane, in which ONNX counts through the default output, not the given one.
    default = tuple(
        (e - 1) * s + k for e, s, k in zip(x.shape[2:], strides, kernel_shape, strict=True)
    )
    places = np.ravel_multi_index(np.unravel_index(indices, default), extents)
    function = _of_rank("max_unpool", x)
    return (function(x, places, tuple(kernel_shape), tuple(strides), output_size=extents),)


# Activations.


def _activation(name: str, **names: str) -> Node:
    """A function of pycnn whose attributes only have other names."""

    def apply(x, **attributes):
        return (getattr(pycnn, name)(x, **{names[n]: v for n, v in attributes.items()}),)

    return apply


for _type, _name, _names in (
    ("Relu", "relu", {}),
    ("LeakyRelu", "leaky_relu", {"alpha": "negative_slope"}),
    ("Elu", "elu", {"alpha": "alpha"}),
    ("Celu", "celu", {"alpha": "alpha"}),
    ("Sigmoid", "sigmoid", {}),
    ("Tanh", "tanh", {}),
    ("Softplus", "softplus", {}),
    ("Softsign", "softsign", {}),
    ("Gelu", "gelu", {"approximate": "approximate"}),
    ("HardSwish", "hardswish", {}),
    ("Mish", "mish", {}),
):
    NODES[_type] = _activation(_name, **_names)


def _scaled(x: np.ndarray, factor: float, summand: float = 0.0) -> np.ndarray:
    product = pycnn.mul(x, np.full(x.shape, factor, x.dtype))
    return pycnn.add(product, np.full(x.shape, summand, x.dtype)) if summand else product


@node("Selu")
def selu(x, *, alpha=None, gamma=None):
    """PyTorch fixes both constants; others are those of ELU and a factor."""
    return (pycnn.selu(x),) if alpha is None else (_scaled(pycnn.elu(x, alpha), gamma),)


@node("Swish")
def swish(x, *, alpha=1.0):
    return (pycnn.silu(x),) if alpha == 1 else (pycnn.mul(x, pycnn.sigmoid(_scaled(x, alpha))),)


@node("HardSigmoid")
def hard_sigmoid(x, *, alpha=0.2, beta=0.5):
    """PyTorch's has the slope 1/6 instead."""
    return (pycnn.clip(_scaled(x, alpha, beta), 0.0, 1.0),)


@node("Clip")
def clip(x, low=None, high=None):
    return (pycnn.clip(x, *(None if v is None else float(v) for v in (low, high))),)


# Normalisation, softmax, losses.


@node("BatchNormalization")
def batch_norm(x, weight, bias, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    if not training_mode:
        return (pycnn.batch_norm(x, mean, var, weight, bias, eps=epsilon),)
    # ONNX keeps the biased variance and weights the old value by momentum: PyTorch neither.
    y, batch_mean, rstd, *_ = pycnn.batch_norm_train(x, weight=weight, bias=bias, eps=epsilon)
    batch_var = 1 / rstd.astype(np.float64) ** 2 - epsilon
    kept = [old * momentum + new * (1 - momentum)
            for old, new in ((mean, batch_mean), (var, batch_var))]  # fmt: skip
    return (y, *(k.astype(x.dtype) for k in kept))


@node("LayerNormalization")
def layer_norm(x, weight, bias=None, *, axis=-1, epsilon=1e-5):
    """The optional second and third output, the statistics, are none of pycnn's."""
    return (pycnn.layer_norm(x, x.shape[axis:], weight, bias, epsilon),)


@node("GroupNormalization")
def group_norm(x, weight, bias, *, num_groups, epsilon=1e-5):
    return (pycnn.group_norm(x, num_groups, weight, bias, epsilon),)


@node("InstanceNormalization")
def instance_norm(x, weight, bias, *, epsilon=1e-5):
    return (pycnn.instance_norm(x, weight=weight, bias=bias, eps=epsilon),)


@node("LRN")
def lrn(x, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    return (pycnn.local_response_norm(x, size, alpha, beta, bias),)


@node("Softmax")
def softmax(x, *, axis=-1):
    return (pycnn.softmax(x, axis),)


@node("LogSoftmax")
def log_softmax(x, *, axis=-1):
    return (pycnn.log_softmax(x, axis),)


@node("NegativeLogLikelihoodLoss")
def nll_loss(x, target, weight=None, *, ignore_index=-100, reduction="mean"):
    return (pycnn.nll_loss(x, target, weight, ignore_index, reduction),)


@node("SoftmaxCrossEntropyLoss")
def cross_entropy(x, target, weight=None, *, outputs, ignore_index=-100, reduction="mean"):
    loss = pycnn.cross_entropy(x, target, weight, ignore_index, reduction)
    return (loss, pycnn.log_softmax(x, 1))[:outputs] if outputs > 1 else (loss,)


# Products, sums, reductions.


@node("Gemm")
def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = pycnn.gemm(a, b, transpose_a=bool(transA), transpose_b=bool(transB))
    y = y if alpha == 1 else _scaled(y, alpha)
    return (y,) if c is None else (pycnn.add(y, c, alpha=beta),)


@node("MatMul")
def matmul(a, b):
    return (pycnn.matmul(a, b),)


@node("Add")
def add(a, b):
    return (pycnn.add(a, b),)


@node("Mul")
def mul(a, b):
    return (pycnn.mul(a, b),)


def _reduction(name: str) -> Node:
    def reduce(x, axes=None, *, keepdims=1, axis=None, noop_with_empty_axes=0):
        along = tuple(int(a) for a in axes) if axes is not None and axes.size else None
        return (getattr(pycnn, name)(x, along, bool(keepdims)),)

    return reduce


NODES["ReduceSum"], NODES["ReduceMean"] = _reduction("sum"), _reduction("mean")
NODES["ReduceMax"], NODES["ReduceMin"] = _reduction("amax"), _reduction("amin")


@node("DepthToSpace")
def depth_to_space(x, *, blocksize, mode="DCR"):
    return (pycnn.depth_to_space(x, blocksize, mode),)


@node("SpaceToDepth")
def space_to_depth(x, *, blocksize, mode="DCR"):
    return (pycnn.space_to_depth(x, blocksize, mode),)


@node("ArgMin")
def argmin(x, *, axis=0, keepdims=1):
    return (pycnn.argmin(x, axis, bool(keepdims)),)


@node("ArgMax")
def argmax(x, *, axis=0, keepdims=1):
    return (pycnn.argmax(x, axis, bool(keepdims)),)


@node("TopK")
def topk(x, k, *, axis=-1, largest=1, sorted=1):
    return pycnn.topk(x, int(k[0]), axis, bool(largest), bool(sorted))


# Moving data.


@node("Pad")
def pad(x, pads, value=None, axes=None, *, mode="constant"):
    begins, ends = np.split(pads, 2)
    which = range(x.ndim) if axes is None else [int(a) % x.ndim for a in axes]
    sides = [(0, 0)] * x.ndim
    for axis, low, high in zip(which, begins, ends, strict=True):
        sides[axis] = (int(low), int(high))
    while sides and sides[0] == (0, 0):  # PyTorch lists the last axis first, and may stop early
        sides = sides[1:]
    flat = [n for pair in reversed(sides) for n in pair]
    name = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    fill = {} if value is None else {"value": float(value)}
    return (pycnn.pad(x, flat, name, **fill),)


@node("Concat")
def concat(*tensors, axis):
    return (pycnn.concat(tensors, axis),)


@node("Split")
def split(x, sizes=None, *, outputs, axis=0, num_outputs=None):
    if sizes is not None:
        return tuple(pycnn.split(x, [int(s) for s in sizes], axis))
    return tuple(pycnn.split(x, -(-x.shape[axis] // outputs), axis))


@node("Transpose")
def transpose(x, *, perm=None):
    return (pycnn.permute(x, tuple(perm) if perm else tuple(range(x.ndim))[::-1]),)


@node("Col2Im")
def col2im(x, image, block, *, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)):
    image, block = (tuple(int(e) for e in v) for v in (image, block))
    begins, ends = tuple(pads[:2]), tuple(pads[2:])
    assert begins == ends, "fold pads both sides alike, as in PyTorch"
    return (pycnn.fold(x, image, block, tuple(dilations), begins, tuple(strides)),)


@node("Dropout")
def dropout(x, ratio=None, training=None, *, outputs, seed=0, **attributes):
    p = 0.5 if ratio is None else float(ratio)
    y, mask = pycnn.dropout(x, p, bool(training), seed=seed), np.ones(x.shape, bool)
    return (y, mask)[:outputs]


@node("Resize", "Upsample")
def resize(x, *inputs, mode="nearest", axes=None, **attributes):
    """Inputs are (roi, scales, sizes), and of the older Upsample scales alone."""
    scales = inputs[0] if len(inputs) == 1 else inputs[1]
    sizes = inputs[2] if len(inputs) > 2 else None
    spatial = x.ndim - 2
    which = [a - 2 for a in axes] if axes else range(spatial)

    def per_axis(values: np.ndarray, missing: Any) -> list[Any]:
        given = values if axes else values[2:]
        placed = list(missing)
        for axis, value in zip(which, given, strict=True):
            placed[axis] = value.item()
        return placed

    size = scale = None
    if sizes is not None and sizes.size:
        size = per_axis(sizes, x.shape[2:])
        policy = attributes.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratios = [size[a] / x.shape[2 + a] for a in which]
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            for a in which:
                size[a] = int(x.shape[2 + a] * ratio + 0.5)
    else:
        scale = per_axis(scales, [1.0] * spatial)
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[spatial]
    name = linear if mode == "linear" else mode
    settings = {"coordinate_mode": attributes.get("coordinate_transformation_mode", "half_pixel")}
    if type(attributes.get("antialias")) is int:
        settings["antialias"] = bool(attributes["antialias"])
    if mode == "nearest":
        settings["nearest_mode"] = attributes.get("nearest_mode", "round_prefer_floor")
    return (pycnn.interpolate(x, size, scale, name, **settings),)


@node("PRelu")
def prelu(x, slope):
    """PyTorch has a slope a channel; ONNX any that can be broadcast to x."""
    if slope.size == 1 or slope.size == x.shape[1] == max(slope.shape):
        return (pycnn.prelu(x, slope.reshape(-1)),)
    return (pycnn.add(pycnn.clip(x, 0.0), pycnn.mul(pycnn.clip(x, max=0.0), slope)),)


@node("Sum")
def sum_of(*tensors):
    total = tensors[0]
    for tensor in tensors[1:]:
        total = pycnn.add(total, tensor)
    return (total,)


#: Node tests that are left out, by the end of a regular expression's match, and why.
EXCLUDED = {
    r"(add|mul)_u?int": "sums and products of integers: dtypes of networks in use are floating",
    r"clip_default_int8": "integers: activations are floating",
    r"select_last_index": "argmax gives the first of equal maxima, as NumPy does",
    r"training_dropout(_default)?(_mask)?$": "expected values of NumPy's generator: ours is Philox",
    r"maxpool_2d_uint8": "integers: pooling is floating",
    r"maxpool_with_argmax_2d_precomputed_strides": "indices that count columns first",
    r"reduce_(max|min)_.*bool": "booleans: reductions are floating",
    r"reduce_sum_empty_axes_input_noop": "no axis to reduce: nothing is computed",
    r"reduce_(max|min)_empty_set$": "the maximum of nothing is an error, as in PyTorch",
    r"downsample_scales_linear_align_corners": "a fractional extent: we align those of the result",
    r"resize_.*cubic": "cubic interpolation is no operation here",
    r"resize_tf_crop_and_resize": "a crop and a resize in one: slice, then interpolate",
    r"resize_.*antialias": "no antialiasing",
    r"top_k_(uint64|same_values)": "integers: logits are floating",
    r"col2im_5d": "fold has two spatial axes, as in PyTorch",
}
