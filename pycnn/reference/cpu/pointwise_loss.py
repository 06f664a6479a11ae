"""Losses that compare two tensors on the CPU, with few passes over memory."""

import numpy as np

from pycnn.reference.cpu._common import quiet


def _reduced(cost: np.ndarray, reduction: str, factor: float) -> np.ndarray:
    if reduction == "none":
        return cost * cost.dtype.type(factor)
    total = cost.sum() * cost.dtype.type(factor)
    return np.asarray(total if reduction == "sum" else total / cost.dtype.type(cost.size))


def _scale(dy: np.ndarray, count: int, reduction: str, factor: float) -> np.ndarray:
    by = factor / max(count, 1) if reduction == "mean" else factor
    return np.asarray(dy * dy.dtype.type(by))


@quiet
def mse_loss(x: np.ndarray, target: np.ndarray, reduction: str, factor: float) -> np.ndarray:
    """factor * (x - target)^2: of every element, their sum, or that by their number.

    Parameters
    ----------
    x, target : array of one shape
    reduction : {"none", "sum", "mean"}
    factor : float

    Returns
    -------
    array like x with reduction "none", else of shape (); dtype of x
    """
    cost = np.asarray(x - target)
    return _reduced(np.multiply(cost, cost, out=cost), reduction, factor)


@quiet
def mse_loss_backward(
    dy: np.ndarray, x: np.ndarray, target: np.ndarray, reduction: str, factor: float
) -> np.ndarray:
    """Gradient of `mse_loss` with respect to x."""
    dx = np.asarray(x - target)
    return np.multiply(dx, _scale(dy, x.size, reduction, 2 * factor), out=dx)


@quiet
def binary_cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    pos_weight: np.ndarray | None,
    reduction: str,
    factor: float,
) -> np.ndarray:
    """weight * ((1 - t) * x + (1 + (pos_weight - 1) * t) * softplus(-x)).

    Parameters
    ----------
    x, target : array of one shape
    weight, pos_weight : array that broadcasts to it, or None
    reduction, factor
        As for `mse_loss`.

    Returns
    -------
    array like x with reduction "none", else of shape (); dtype of x
    """
    softplus = np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)
    if pos_weight is not None:
        softplus *= 1 + (pos_weight - 1) * target
    cost = np.asarray((1 - target) * x + softplus)
    return _reduced(cost if weight is None else cost * weight, reduction, factor)


@quiet
def binary_cross_entropy_backward(
    dy: np.ndarray,
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    pos_weight: np.ndarray | None,
    reduction: str,
    factor: float,
) -> np.ndarray:
    """Gradient of `binary_cross_entropy` with respect to x."""
    e = np.exp(-np.abs(x))
    sigmoid = np.where(x < 0, x.dtype.type(1), e) / (1 + e)  # of -x
    if pos_weight is not None:
        sigmoid = sigmoid * (1 + (pos_weight - 1) * target)
    dx = (1 - target - sigmoid) * _scale(dy, x.size, reduction, factor)
    return np.asarray(dx if weight is None else dx * weight)
