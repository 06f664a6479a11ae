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
from typing import Any, NoReturn

import numpy as np

import pycnn
from pycnn import config
from pycnn.compat.cudnn_arguments import (
    CUDNN_ACTIVATION_CLIPPED_RELU as CUDNN_ACTIVATION_CLIPPED_RELU,
    CUDNN_ACTIVATION_ELU as CUDNN_ACTIVATION_ELU,
    CUDNN_ACTIVATION_IDENTITY as CUDNN_ACTIVATION_IDENTITY,
    CUDNN_ACTIVATION_RELU as CUDNN_ACTIVATION_RELU,
    CUDNN_ACTIVATION_SIGMOID as CUDNN_ACTIVATION_SIGMOID,
    CUDNN_ACTIVATION_TANH as CUDNN_ACTIVATION_TANH,
    CUDNN_BATCHNORM_PER_ACTIVATION as CUDNN_BATCHNORM_PER_ACTIVATION,
    CUDNN_BATCHNORM_SPATIAL as CUDNN_BATCHNORM_SPATIAL,
    CUDNN_BATCHNORM_SPATIAL_PERSISTENT as CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
    CUDNN_DATA_DOUBLE as CUDNN_DATA_DOUBLE,
    CUDNN_DATA_FLOAT as CUDNN_DATA_FLOAT,
    CUDNN_DATA_HALF as CUDNN_DATA_HALF,
    CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING as CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING,
    CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING as CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
    CUDNN_POOLING_MAX as CUDNN_POOLING_MAX,
    CUDNN_POOLING_MAX_DETERMINISTIC as CUDNN_POOLING_MAX_DETERMINISTIC,
    CUDNN_SOFTMAX_ACCURATE as CUDNN_SOFTMAX_ACCURATE,
    CUDNN_SOFTMAX_FAST as CUDNN_SOFTMAX_FAST,
    CUDNN_SOFTMAX_LOG as CUDNN_SOFTMAX_LOG,
    CUDNN_TENSOR_NCHW as CUDNN_TENSOR_NCHW,
    CUDNN_TENSOR_NHWC as CUDNN_TENSOR_NHWC,
    activation_of,
    bias_of,
    channels,
    check_mode,
    dilation_of,
    filters_of,
    kind_of,
    layout_of,
    of_axes,
    softmax_of,
    vector,
    wide_of,
    windows,
)

_LIMIT = "PYCNN_WORKSPACE_LIMIT"
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
    check_mode(tensor_core)
    of_axes(len(pad), "conv{}d")(
        x,
        filters_of(W, w_layout),
        bias_of(b, d_layout),
        tuple(stride),
        tuple(pad),
        dilation_of(dilation),
        groups,
        layout=layout_of(d_layout),
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
    check_mode(tensor_core)
    filters, layout = filters_of(W, w_layout), layout_of(d_layout)
    spaced = dilation_of(dilation) if dilation is not None else (1,) * len(pad)
    sides = slice(1, -1) if layout == "NHWC" else slice(2, None)
    rows = zip(y.shape[sides], x.shape[sides], filters.shape[2:], pad, stride, spaced, strict=True)
    missing = [h - ((p - 1) * s - 2 * before + d * (r - 1) + 1) for h, p, r, before, s, d in rows]
    if min(missing) < 0 or any(m >= s for m, s in zip(missing, stride, strict=True)):
        raise ValueError(
            f"y has shape {y.shape}; allowed: what a convolution with pad={pad}, stride={stride}, "
            f"dilation={dilation} takes to the shape of x, {x.shape}"
        )
    of_axes(len(pad), "conv_transpose{}d")(
        x,
        filters,
        bias_of(b, d_layout),
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
    check_mode(tensor_core)
    filters = filters_of(gW, w_layout)
    _, gradient, _ = of_axes(len(pad), "conv{}d_backward")(
        gy,
        x,
        filters,  # for its shape
        tuple(stride),
        tuple(pad),
        dilation_of(dilation),
        groups,
        layout=layout_of(d_layout),
        needs=(False, True, False),
    )
    filters[...] = gradient


def pooling_forward(
    x: Any, y: Any, ksize: Sequence[int], stride: Sequence[int], pad: Sequence[int], mode: int
) -> Any:
    """Pool `x` into `y`, and return it."""
    settings = windows(x, y, ksize, stride, pad, mode)
    return getattr(pycnn, f"{kind_of(mode)}_pool{len(ksize)}d")(x, out=y, **settings)


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
    settings = windows(x, y, ksize, stride, pad, mode)
    name = f"{kind_of(mode)}_pool{len(ksize)}d"
    if kind_of(mode) == "avg":
        return getattr(pycnn, f"{name}_backward")(gy, x.shape, **settings)
    _, indices = getattr(pycnn, name)(x, return_indices=True, **settings)
    return getattr(pycnn, f"{name}_backward")(gy, indices, x.shape, **settings)


def activation_forward(x: Any, mode: int, coef: float = 0.0) -> Any:
    """sigmoid, relu, tanh, relu clipped at `coef`, elu of `coef`, or `x` copied."""
    name, settings = activation_of(mode, coef)
    return x.copy() if name is None else getattr(pycnn, name)(x, **settings)


def activation_backward(x: Any, y: Any, gy: Any, mode: int, coef: float = 0.0) -> Any:
    """The gradient of `x`."""
    name, settings = activation_of(mode, coef)
    return gy.copy() if name is None else getattr(pycnn, f"{name}_backward")(gy, x, **settings)


def softmax_forward(x: Any, axis: int, algorithm: int) -> Any:
    """Softmax, or its logarithm."""
    return getattr(pycnn, softmax_of(algorithm))(x, axis)


def softmax_backward(y: Any, gy: Any, axis: int, algorithm: int) -> Any:
    """The gradient of what `softmax_forward` made `y` of."""
    return getattr(pycnn, f"{softmax_of(algorithm)}_backward")(gy, y, axis)


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
    wide = wide_of(x.dtype)
    images, layout = channels(x, is_for_conv2d, cudnn_mode, d_layout)
    y, own_mean, own_std, *new = pycnn.batch_norm_train(
        images,
        vector(running_mean, wide),
        vector(running_var, wide),
        vector(gamma, wide),
        vector(beta, wide),
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
    wide = wide_of(x.dtype)
    images, layout = channels(x, is_for_conv2d, cudnn_mode, d_layout)
    mean, var, gamma, beta = (vector(a, wide) for a in (mean, var, gamma, beta))
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
    wide = wide_of(x.dtype)
    images, layout = channels(x, is_for_conv2d, cudnn_mode, d_layout)
    mean, inv_std, weight = (vector(a, wide) for a in (mean, inv_std, gamma))
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
