"""cuDNN's constants, and what arguments of `cupy_cudnn` mean to pycnn."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

import pycnn

CUDNN_DATA_FLOAT, CUDNN_DATA_DOUBLE, CUDNN_DATA_HALF = range(3)
CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC = range(2)
CUDNN_POOLING_MAX = 0
CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING = 1
CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING = 2
CUDNN_POOLING_MAX_DETERMINISTIC = 3
CUDNN_ACTIVATION_SIGMOID, CUDNN_ACTIVATION_RELU, CUDNN_ACTIVATION_TANH = range(3)
CUDNN_ACTIVATION_CLIPPED_RELU, CUDNN_ACTIVATION_ELU, CUDNN_ACTIVATION_IDENTITY = range(3, 6)
CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_LOG = range(3)
CUDNN_BATCHNORM_PER_ACTIVATION = 0
CUDNN_BATCHNORM_SPATIAL = 1
CUDNN_BATCHNORM_SPATIAL_PERSISTENT = 2

_LAYOUTS = {CUDNN_TENSOR_NCHW: "NCHW", CUDNN_TENSOR_NHWC: "NHWC"}


def of_axes(axes: int, name: str) -> Any:
    """Our function for so many spatial axes."""
    if axes not in (1, 2, 3):
        raise ValueError(f"pad has {axes} axes; allowed: 1, 2, 3")
    return getattr(pycnn, name.format(axes))


def check_mode(tensor_core: str) -> None:
    if tensor_core not in ("auto", "always", "never"):
        raise ValueError(f"tensor_core={tensor_core!r}; allowed: auto, always, never")


def layout_of(number: int) -> str:
    if number not in _LAYOUTS:
        raise ValueError(f"d_layout={number!r}; allowed: 0 (NCHW), 1 (NHWC)")
    return _LAYOUTS[number]


def filters_of(W: Any, layout: int) -> Any:
    """(K, C, R, S), as a view."""
    if layout_of(layout) == "NCHW":
        return W
    return W.transpose(0, W.ndim - 1, *range(1, W.ndim - 1))


def bias_of(b: Any, layout: int) -> Any:
    if b is None:
        return None
    if layout != CUDNN_TENSOR_NCHW:
        raise ValueError("b with d_layout=CUDNN_TENSOR_NHWC; allowed: None (it goes along axis 1)")
    return b.reshape(-1)


def dilation_of(dilation: Sequence[int] | None) -> Any:
    return 1 if dilation is None else tuple(dilation)


def kind_of(mode: int) -> str:
    kinds = {
        CUDNN_POOLING_MAX: "max",
        CUDNN_POOLING_MAX_DETERMINISTIC: "max",
        CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING: "avg",
        CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING: "avg",
    }
    if mode not in kinds:
        raise ValueError(f"mode={mode!r}; allowed: {', '.join(map(str, kinds))}")
    return kinds[mode]


def windows(
    x: Any, y: Any, ksize: Sequence[int], stride: Sequence[int], pad: Sequence[int], mode: int
) -> dict[str, Any]:
    """Settings of pooling; the shape of `y` says whether the last window may hang over."""
    if not len(ksize) == len(stride) == len(pad):
        raise ValueError(f"ksize={ksize}, stride={stride}, pad={pad}; allowed: of one length")
    rows = zip(x.shape[2:], ksize, stride, pad, strict=True)
    whole = tuple((h + 2 * p - k) // s + 1 for h, k, s, p in rows)
    settings: dict[str, Any] = {
        "kernel_size": tuple(ksize),
        "stride": tuple(stride),
        "padding": tuple(pad),
        "ceil_mode": tuple(y.shape[2:]) != whole,
    }
    if kind_of(mode) == "avg":
        settings["count_include_pad"] = mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING
    return settings


def activation_of(mode: int, coef: float) -> tuple[str | None, dict[str, Any]]:
    rules: dict[int, tuple[str | None, dict[str, Any]]] = {
        CUDNN_ACTIVATION_SIGMOID: ("sigmoid", {}),
        CUDNN_ACTIVATION_RELU: ("relu", {}),
        CUDNN_ACTIVATION_TANH: ("tanh", {}),
        CUDNN_ACTIVATION_CLIPPED_RELU: ("clip", {"min": 0.0, "max": coef}),
        CUDNN_ACTIVATION_ELU: ("elu", {"alpha": coef}),
        CUDNN_ACTIVATION_IDENTITY: (None, {}),
    }
    if mode not in rules:
        raise ValueError(f"mode={mode!r}; allowed: {', '.join(map(str, rules))}")
    return rules[mode]


def softmax_of(algorithm: int) -> str:
    if algorithm in (CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_ACCURATE):
        return "softmax"
    if algorithm == CUDNN_SOFTMAX_LOG:
        return "log_softmax"
    raise ValueError(f"algorithm={algorithm!r}; allowed: 0, 1, 2")


def wide_of(dtype: Any) -> np.dtype:
    """Of the statistics and parameters of a batch normalisation."""
    return np.dtype("float32") if dtype == np.float16 else np.dtype(dtype)


def vector(array: Any, dtype: np.dtype) -> Any:
    return array.reshape(-1).astype(dtype, copy=False)


def channels(x: Any, is_for_conv2d: bool, mode: int, d_layout: int) -> tuple[Any, str]:
    """`x` with one axis of channels, and where it is."""
    if mode not in (0, 1, 2):
        raise ValueError(f"cudnn_mode={mode!r}; allowed: 0, 1, 2")
    if not is_for_conv2d:  # the last axis
        return x.reshape(prod(x.shape[:-1]), x.shape[-1]), "NCHW"
    if mode == CUDNN_BATCHNORM_PER_ACTIVATION:
        return x.reshape(x.shape[0], prod(x.shape[1:])), "NCHW"
    return x, layout_of(d_layout)
