"""Normalisation by statistics of a batch, an image, a layer or neighbours."""

from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import is_float, normal_axis
from pycnn.onnx.operators.registry import operator


@operator("BatchNormalization", kernels=True)
def batch_normalization(
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    *,
    outputs: int,
    epsilon: float = 1e-5,
    is_test: int = 1,
    momentum: float = 0.9,
    spatial: int = 1,
    training_mode: int = 0,
) -> Any:
    if not spatial:
        raise OnnxError("spatial=0; allowed: 1")
    if not training_mode:
        if outputs > 1:
            raise OnnxError("outputs of training without training_mode; allowed: one output")
        return pycnn.batch_norm(x, mean, var, weight, bias, eps=epsilon)
    # ONNX keeps the biased variance, and weights the old value by momentum: PyTorch neither.
    y, batch_mean, rstd, *_ = pycnn.batch_norm_train(x, weight=weight, bias=bias, eps=epsilon)
    batch_var = 1 / rstd.astype(np.float64) ** 2 - epsilon
    kept = [
        (old * momentum + new * (1 - momentum)).astype(old.dtype)
        for old, new in ((mean, batch_mean), (var, batch_var))
    ]
    return (y, *kept)


@operator("InstanceNormalization", kernels=True)
def instance_normalization(x: Any, weight: Any, bias: Any, *, epsilon: float = 1e-5) -> Any:
    return pycnn.instance_norm(x, weight=weight, bias=bias, eps=epsilon)


@operator("GroupNormalization", since=21, kernels=True)
def group_normalization(
    x: Any, weight: Any, bias: Any, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    return pycnn.group_norm(x, num_groups, weight, bias, epsilon)


@operator("GroupNormalization", since=18, kernels=True)
def group_normalization_18(
    x: Any, weight: Any, bias: Any, *, num_groups: int, epsilon: float = 1e-5
) -> Any:
    """Weight and bias are one a group, not one a channel."""
    each = x.shape[1] // num_groups
    return pycnn.group_norm(x, num_groups, np.repeat(weight, each), np.repeat(bias, each), epsilon)


@operator("LayerNormalization", kernels=True)
def layer_normalization(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    outputs: int,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    axis = normal_axis(axis, x.ndim)
    extents = x.shape[axis:]
    weight, bias = (None if v is None else _for(v, extents) for v in (weight, bias))
    y = pycnn.layer_norm(x, extents, weight, bias, epsilon)
    if outputs == 1:
        return y
    axes, wide = tuple(range(axis, x.ndim)), x.astype(np.float64)
    mean = wide.mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(wide.var(axes, keepdims=True) + epsilon)
    return y, mean.astype(np.float32), rstd.astype(np.float32)


def _for(vector: Any, extents: tuple[int, ...]) -> Any:
    if vector.ndim > len(extents):
        vector = vector.reshape(vector.shape[-len(extents) :])
    return np.broadcast_to(vector, extents)


@operator("LRN", kernels=True)
def lrn(x: Any, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Any:
    return pycnn.local_response_norm(x, size, alpha, beta, bias)


@operator("LpNormalization")
def lp_normalization(x: Any, *, axis: int = -1, p: int = 2) -> Any:
    """Zeros stay zeros."""
    if p not in (1, 2):
        raise OnnxError(f"p={p}; allowed: 1, 2")
    magnitudes = np.abs(x) if p == 1 else x * x
    norm = magnitudes.sum(axis=axis, keepdims=True)
    norm = norm if p == 1 else np.sqrt(norm)
    return x / np.where(norm == 0, x.dtype.type(1), norm)


@operator("MeanVarianceNormalization", kernels=True)
def mean_variance_normalization(x: Any, *, axes: Any = (0, 2, 3)) -> Any:
    """Statistics of a few axes; the divisor is never zero."""
    chosen = tuple(normal_axis(a, x.ndim) for a in axes)
    mean = pycnn.mean(x, chosen, True) if is_float(x) else x.mean(chosen, keepdims=True)
    centred = x - mean
    spread = np.sqrt(pycnn.mean(centred * centred, chosen, True))
    return centred / (spread + x.dtype.type(1e-9))
