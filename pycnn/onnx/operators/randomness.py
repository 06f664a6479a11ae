"""Random arrays, of a seed or of none; dropout."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import scalar
from pycnn.onnx.operators.casting import dtype_of
from pycnn.onnx.operators.registry import operator


def _generator(seed: float | None) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else np.float32(seed).view(np.uint32))


def _normal(shape: Any, dtype: Any, mean: float, scale: float, seed: float | None) -> Any:
    check_size(shape, 8)
    return _generator(seed).normal(mean, scale, tuple(shape)).astype(dtype)


def _uniform(shape: Any, dtype: Any, low: float, high: float, seed: float | None) -> Any:
    check_size(shape, 8)
    return _generator(seed).uniform(low, high, tuple(shape)).astype(dtype)


@operator("RandomNormal")
def random_normal(
    *,
    shape: Sequence[int],
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Any:
    return _normal(shape, dtype_of(dtype), mean, scale, seed)


@operator("RandomNormalLike")
def random_normal_like(
    x: Any,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Any:
    return _normal(x.shape, dtype_of(dtype) if dtype else x.dtype, mean, scale, seed)


@operator("RandomUniform")
def random_uniform(
    *,
    shape: Sequence[int],
    dtype: int = 1,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
) -> Any:
    return _uniform(shape, dtype_of(dtype), low, high, seed)


@operator("RandomUniformLike")
def random_uniform_like(
    x: Any,
    *,
    dtype: int | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
) -> Any:
    return _uniform(x.shape, dtype_of(dtype) if dtype else x.dtype, low, high, seed)


@operator("Bernoulli")
def bernoulli(x: Any, *, dtype: int | None = None, seed: float | None = None) -> Any:
    drawn = _uniform(x.shape, np.float64, 0.0, 1.0, seed) < x
    return drawn.astype(dtype_of(dtype) if dtype else x.dtype)


@operator("Dropout", kernels=True)
def dropout(
    x: Any,
    ratio_input: Any = None,
    training: Any = None,
    *,
    outputs: int,
    is_test: int = 1,
    ratio: float = 0.5,
    seed: int | None = None,
) -> Any:
    """Nothing, unless `training` is there and true."""
    p = ratio if ratio_input is None else float(scalar(ratio_input))
    if training is None or not scalar(training) or p == 0:
        return (x, np.ones(x.shape, bool)) if outputs > 1 else x
    factors = pycnn.dropout(np.ones_like(x), p, True, seed=seed)
    return pycnn.mul(x, factors), factors != 0
