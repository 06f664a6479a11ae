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
    """weight * (pos_weight * t * softplus(-x) + (1 - t) * softplus(x)).

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
    steep, bent = _limits(x, target, pos_weight)
    cost = np.where(steep == 0, 0, steep * x) + bent * np.log1p(np.exp(-np.abs(x)))
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
    steep, bent = _limits(x, target, pos_weight)
    e = np.exp(-np.abs(x))
    dx = steep + np.where(x < 0, bent, -bent) * (e / (1 + e))
    dx = dx * _scale(dy, x.size, reduction, factor)
    return np.asarray(dx if weight is None else dx * weight)


def _limits(
    x: np.ndarray, target: np.ndarray, pos_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The slope of the cost far out on this side of zero, and the factor of log(1 + exp(-|x|)).

    The cost is the sum of both parts. Without a small difference of large ones, it keeps its digits
    where it is tiny, and infinities that meet a slope of 0 cost nothing.
    """
    if pos_weight is None:
        return np.where(x < 0, -target, 1 - target), x.dtype.type(1)
    bent = np.where(pos_weight == 1, pos_weight, 1 + (pos_weight - 1) * target)
    return np.where(x < 0, -pos_weight * target, 1 - target), bent
