"""Softmax and what is made of it: one-hot maxima, losses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.operators.arrays import normal_axis
from pycnn.onnx.operators.registry import operator


def _hardmax(x: Any, axis: int) -> Any:
    """1 at the first maximum, else 0."""
    first = np.expand_dims(pycnn.argmax(x, axis), axis)
    places = np.arange(x.shape[axis], like=first)
    return (first == places.reshape([-1] + [1] * (x.ndim - 1 - axis % x.ndim))).astype(x.dtype)


def _along(name: str, function: Callable[[Any, int], Any]) -> None:
    """Since opset 13 along one axis; before, over all axes from one on."""

    @operator(name, since=13, kernels=True)
    def apply(x: Any, *, axis: int = -1) -> Any:
        return function(x, normal_axis(axis, x.ndim))

    @operator(name, kernels=True)
    def flattened(x: Any, *, axis: int = 1) -> Any:
        axis = normal_axis(axis, x.ndim) if axis != x.ndim else axis
        rows = x.reshape(math.prod(x.shape[:axis]), -1)
        return function(rows, 1).reshape(x.shape)


_along("Softmax", lambda x, axis: pycnn.softmax(x, axis))
_along("LogSoftmax", lambda x, axis: pycnn.log_softmax(x, axis))
_along("Hardmax", _hardmax)


@operator("NegativeLogLikelihoodLoss", kernels=True)
def negative_log_likelihood_loss(
    x: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    return pycnn.nll_loss(x, target, weight, ignore_index, reduction)


@operator("SoftmaxCrossEntropyLoss", kernels=True)
def softmax_cross_entropy_loss(
    x: Any,
    target: Any,
    weight: Any = None,
    *,
    outputs: int,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    loss = pycnn.cross_entropy(x, target, weight, ignore_index, reduction)
    return (loss, pycnn.log_softmax(x, 1)) if outputs > 1 else loss
