"""What CuPy 14 removed: the functions of ``cupy.cudnn`` (``cupyx.cudnn``), by pycnn's kernels.

Code that was written for them changes one import::

    from pycnn.compat import cupy_cudnn as cudnn

Names, signatures and which arrays are written in place are those of CuPy 13. CuPy arrays are
computed by our kernels, NumPy arrays by the active backend, so that such code can be tested with no
GPU. The constants of ``cupy.cuda.cudnn`` that these functions take are here too. What differs from
cuDNN is that every algorithm is deterministic, that `auto_tune` tries nothing out, and that NaN
passes a ReLU and wins a maximum. What is not here says so when it is asked for.
"""

import os
from collections.abc import Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np

import pycnn
from pycnn import config

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

_LIMIT = "PYCNN_WORKSPACE_LIMIT"
_LAYOUTS = {CUDNN_TENSOR_NCHW: "NCHW", CUDNN_TENSOR_NHWC: "NHWC"}
_TYPES = {"f": CUDNN_DATA_FLOAT, "d": CUDNN_DATA_DOUBLE, "e": CUDNN_DATA_HALF}


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"pycnn.compat.cupy_cudnn has no {name}: it has convolution, pooling, activation, softmax, "
        "batch normalisation and the limit of the workspace, and no descriptors of cuDNN's"
    )


def get_max_workspace_size() -> int:
    """Bytes that a convolution may take beside its arrays: ``PYCNN_WORKSPACE_LIMIT``."""
    return int(config.get(_LIMIT))


def set_max_workspace_size(size: int) -> None:
    """Set ``PYCNN_WORKSPACE_LIMIT`` for this process."""
    if int(size) < 0:
        raise ValueError(f"size={size!r}; allowed: bytes from 0 on")
    os.environ[_LIMIT] = str(int(size))


def get_data_type(dtype: Any) -> int:
    """cuDNN's number of a dtype."""
    dtype = np.dtype(dtype)
    if dtype.char not in _TYPES:
        raise TypeError(f"dtype {dtype}; allowed: float16, float32, float64")
    return _TYPES[dtype.char]


def convolution_forward(
    x: Any,
    W: Any,
    b: Any,
    y: Any,
    pad: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int] | None,
    groups: int,
    *,
    auto_tune: bool,
    tensor_core: str,
    d_layout: int = CUDNN_TENSOR_NCHW,
    w_layout: int = CUDNN_TENSOR_NCHW,
) -> None:
    """Write the convolution of `x` with `W`, and the bias `b` or None, into `y`."""
    _check_mode(tensor_core)
    _of(len(pad), "conv{}d")(
        x,
        _filters(W, w_layout),
        _bias(b, d_layout),
        tuple(stride),
        tuple(pad),
        _dilation(dilation),
        groups,
        layout=_layout(d_layout),
        out=y,
    )


def convolution_backward_data(
    W: Any,
    x: Any,
    b: Any,
    y: Any,
    pad: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int] | None,
    groups: int,
    *,
    deterministic: bool,
    auto_tune: bool,
    tensor_core: str,
    d_layout: int = CUDNN_TENSOR_NCHW,
    w_layout: int = CUDNN_TENSOR_NCHW,
) -> None:
    """Write the transposed convolution of `x`, the gradient that came, with `W` into `y`."""
    _check_mode(tensor_core)
    filters, layout = _filters(W, w_layout), _layout(d_layout)
    spaced = _dilation(dilation) if dilation is not None else (1,) * len(pad)
    sides = slice(1, -1) if layout == "NHWC" else slice(2, None)
    rows = zip(y.shape[sides], x.shape[sides], filters.shape[2:], pad, stride, spaced, strict=True)
    missing = [h - ((p - 1) * s - 2 * before + d * (r - 1) + 1) for h, p, r, before, s, d in rows]
    if min(missing) < 0 or any(m >= s for m, s in zip(missing, stride, strict=True)):
        raise ValueError(
            f"y has shape {y.shape}; allowed: what a convolution with pad={pad}, stride={stride}, "
            f"dilation={dilation} takes to the shape of x, {x.shape}"
        )
    _of(len(pad), "conv_transpose{}d")(
        x,
        filters,
        _bias(b, d_layout),
        tuple(stride),
        tuple(pad),
        tuple(missing),
        groups,
        spaced,
        layout=layout,
        out=y,
    )


def convolution_backward_filter(
    x: Any,
    gy: Any,
    gW: Any,
    pad: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int] | None,
    groups: int,
    *,
    deterministic: bool,
    auto_tune: bool,
    tensor_core: str,
    d_layout: int = CUDNN_TENSOR_NCHW,
    w_layout: int = CUDNN_TENSOR_NCHW,
) -> None:
    """Write the gradient of the filters into `gW`."""
    _check_mode(tensor_core)
    filters = _filters(gW, w_layout)
    _, gradient, _ = _of(len(pad), "conv{}d_backward")(
        gy,
        x,
        filters,  # for its shape
        tuple(stride),
        tuple(pad),
        _dilation(dilation),
        groups,
        layout=_layout(d_layout),
        needs=(False, True, False),
    )
    filters[...] = gradient


def pooling_forward(
    x: Any, y: Any, ksize: Sequence[int], stride: Sequence[int], pad: Sequence[int], mode: int
) -> Any:
    """Pool `x` into `y`, and return it."""
    settings = _windows(x, y, ksize, stride, pad, mode)
    return getattr(pycnn, f"{_kind(mode)}_pool{len(ksize)}d")(x, out=y, **settings)


def pooling_backward(
    x: Any,
    y: Any,
    gy: Any,
    ksize: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    mode: int,
) -> Any:
    """The gradient of `x`; where elements share a maximum it goes to the first of them."""
    settings = _windows(x, y, ksize, stride, pad, mode)
    name = f"{_kind(mode)}_pool{len(ksize)}d"
    if _kind(mode) == "avg":
        return getattr(pycnn, f"{name}_backward")(gy, x.shape, **settings)
    _, indices = getattr(pycnn, name)(x, return_indices=True, **settings)
    return getattr(pycnn, f"{name}_backward")(gy, indices, x.shape, **settings)


def activation_forward(x: Any, mode: int, coef: float = 0.0) -> Any:
    """sigmoid, relu, tanh, relu clipped at `coef`, elu of `coef`, or `x` copied."""
    name, settings = _activation(mode, coef)
    return x.copy() if name is None else getattr(pycnn, name)(x, **settings)


def activation_backward(x: Any, y: Any, gy: Any, mode: int, coef: float = 0.0) -> Any:
    """The gradient of `x`."""
    name, settings = _activation(mode, coef)
    return gy.copy() if name is None else getattr(pycnn, f"{name}_backward")(gy, x, **settings)


def softmax_forward(x: Any, axis: int, algorithm: int) -> Any:
    """Softmax, or its logarithm."""
    return getattr(pycnn, _softmax(algorithm))(x, axis)


def softmax_backward(y: Any, gy: Any, axis: int, algorithm: int) -> Any:
    """The gradient of what `softmax_forward` made `y` of."""
    return getattr(pycnn, f"{_softmax(algorithm)}_backward")(gy, y, axis)


def batch_normalization_forward_training(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    mean: Any,
    inv_std: Any,
    eps: float,
    decay: float,
    is_for_conv2d: bool,
    cudnn_mode: int,
    debug: bool,
    d_layout: int = CUDNN_TENSOR_NCHW,
) -> Any:
    """y, and mean and inverse deviation of the batch, unless `mean` and `inv_std` take them.

    `running_mean` and `running_var` are updated in place: `decay` of them stays.
    """
    given = batch_normalization_forward_training_ex(
        x,
        gamma,
        beta,
        running_mean,
        running_var,
        mean,
        inv_std,
        eps,
        decay,
        is_for_conv2d,
        cudnn_mode,
        debug,
        d_layout,
    )
    return given[1] if mean is not None else given[1:]


def batch_normalization_forward_training_ex(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    mean: Any,
    inv_std: Any,
    eps: float,
    decay: float,
    is_for_conv2d: bool,
    cudnn_mode: int,
    debug: bool,
    d_layout: int = CUDNN_TENSOR_NCHW,
) -> Any:
    """As without ``_ex``, behind a reserve space, which is None."""
    if (mean is None) != (inv_std is None):
        raise ValueError("mean and inv_std: allowed are two arrays or two None")
    wide = _wide(x.dtype)
    images, layout = _channels(x, is_for_conv2d, cudnn_mode, d_layout)
    y, own_mean, own_std, *new = pycnn.batch_norm_train(
        images,
        _vector(running_mean, wide),
        _vector(running_var, wide),
        _vector(gamma, wide),
        _vector(beta, wide),
        momentum=1.0 - decay,
        eps=eps,
        layout=layout,
    )
    for old, fresh in zip((running_mean, running_var), new, strict=True):
        old[...] = fresh.reshape(old.shape)
    y = y.reshape(x.shape)
    if mean is None:
        return None, y, own_mean.reshape(gamma.shape), own_std.reshape(gamma.shape)
    mean[...] = own_mean.reshape(mean.shape)
    inv_std[...] = own_std.reshape(inv_std.shape)
    return None, y


def batch_normalization_forward_inference(
    x: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    var: Any,
    eps: float,
    is_for_conv2d: bool,
    cudnn_mode: int,
    d_layout: int = CUDNN_TENSOR_NCHW,
) -> Any:
    """y, by the statistics that are given."""
    wide = _wide(x.dtype)
    images, layout = _channels(x, is_for_conv2d, cudnn_mode, d_layout)
    mean, var, gamma, beta = (_vector(a, wide) for a in (mean, var, gamma, beta))
    y = pycnn.batch_norm(images, mean, var, gamma, beta, eps=eps, layout=layout)
    return y.reshape(x.shape)


def batch_normalization_backward(
    x: Any,
    gamma: Any,
    gy: Any,
    mean: Any,
    inv_std: Any,
    eps: float,
    is_for_conv2d: bool,
    cudnn_mode: int,
    debug: bool,
    d_layout: int = CUDNN_TENSOR_NCHW,
    *,
    reserve_space: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `x`, `gamma` and beta; `mean` and `inv_std` are those of the batch."""
    wide = _wide(x.dtype)
    images, layout = _channels(x, is_for_conv2d, cudnn_mode, d_layout)
    mean, inv_std, weight = (_vector(a, wide) for a in (mean, inv_std, gamma))
    dx, *others = pycnn.batch_norm_train_backward(
        gy.reshape(images.shape), images, mean, inv_std, weight, layout=layout
    )
    own = wide if gamma.dtype == wide else x.dtype
    ggamma, gbeta = (d.reshape(gamma.shape).astype(own, copy=False) for d in others)
    return dx.reshape(x.shape), ggamma, gbeta


class DropoutStates:
    """The random numbers of dropout: each call of `forward` has its own.

    Parameters
    ----------
    handle : object
        Of cuDNN; not used.
    seed : int
    """

    def __init__(self, handle: Any, seed: int) -> None:
        self._seed, self._calls = int(seed), 0

    def forward(self, handle: Any, x: Any, dropout_ratio: float) -> tuple[Any, Any]:
        """What `backward` needs, and y."""
        reserve_space = (self._seed + self._calls) % 2**64
        self._calls += 1
        return reserve_space, pycnn.dropout(x, dropout_ratio, seed=reserve_space)

    def backward(self, handle: Any, dy: Any, dropout_ratio: float, reserve_space: Any) -> Any:
        """The gradient of the x whose `forward` gave `reserve_space`."""
        return pycnn.dropout_backward(dy, dropout_ratio, seed=reserve_space)


def _of(axes: int, name: str) -> Any:
    """Our function for so many spatial axes."""
    if axes not in (1, 2, 3):
        raise ValueError(f"pad has {axes} axes; allowed: 1, 2, 3")
    return getattr(pycnn, name.format(axes))


def _check_mode(tensor_core: str) -> None:
    if tensor_core not in ("auto", "always", "never"):
        raise ValueError(f"tensor_core={tensor_core!r}; allowed: auto, always, never")


def _layout(number: int) -> str:
    if number not in _LAYOUTS:
        raise ValueError(f"d_layout={number!r}; allowed: 0 (NCHW), 1 (NHWC)")
    return _LAYOUTS[number]


def _filters(W: Any, layout: int) -> Any:
    """(K, C, R, S), as a view."""
    if _layout(layout) == "NCHW":
        return W
    return W.transpose(0, W.ndim - 1, *range(1, W.ndim - 1))


def _bias(b: Any, layout: int) -> Any:
    if b is None:
        return None
    if layout != CUDNN_TENSOR_NCHW:
        raise ValueError("b with d_layout=CUDNN_TENSOR_NHWC; allowed: None (it goes along axis 1)")
    return b.reshape(-1)


def _dilation(dilation: Sequence[int] | None) -> Any:
    return 1 if dilation is None else tuple(dilation)


def _kind(mode: int) -> str:
    kinds = {
        CUDNN_POOLING_MAX: "max",
        CUDNN_POOLING_MAX_DETERMINISTIC: "max",
        CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING: "avg",
        CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING: "avg",
    }
    if mode not in kinds:
        raise ValueError(f"mode={mode!r}; allowed: {', '.join(map(str, kinds))}")
    return kinds[mode]


def _windows(
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
    if _kind(mode) == "avg":
        settings["count_include_pad"] = mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING
    return settings


def _activation(mode: int, coef: float) -> tuple[str | None, dict[str, Any]]:
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


def _softmax(algorithm: int) -> str:
    if algorithm in (CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_ACCURATE):
        return "softmax"
    if algorithm == CUDNN_SOFTMAX_LOG:
        return "log_softmax"
    raise ValueError(f"algorithm={algorithm!r}; allowed: 0, 1, 2")


def _wide(dtype: Any) -> np.dtype:
    """Of the statistics and parameters of a batch normalisation."""
    return np.dtype("float32") if dtype == np.float16 else np.dtype(dtype)


def _vector(array: Any, dtype: np.dtype) -> Any:
    return array.reshape(-1).astype(dtype, copy=False)


def _channels(x: Any, is_for_conv2d: bool, mode: int, d_layout: int) -> tuple[Any, str]:
    """`x` with one axis of channels, and where it is."""
    if mode not in (0, 1, 2):
        raise ValueError(f"cudnn_mode={mode!r}; allowed: 0, 1, 2")
    if not is_for_conv2d:  # the last axis
        return x.reshape(prod(x.shape[:-1]), x.shape[-1]), "NCHW"
    if mode == CUDNN_BATCHNORM_PER_ACTIVATION:
        return x.reshape(x.shape[0], prod(x.shape[1:])), "NCHW"
    return x, _layout(d_layout)
