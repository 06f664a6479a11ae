"""Losses that compare two tensors on the CPU, with few passes over memory."""

from collections.abc import Callable
from typing import Any

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


#: Cost and slope of x, the target and a constant, by the name of the kernel's struct.
COSTS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "Distance": (lambda x, t, _: np.abs(x - t), lambda x, t, _: _sign(x - t)),
    "SmoothDistance": (
        lambda x, t, beta: _smooth(np.abs(x - t), x.dtype.type(beta)),
        lambda x, t, beta: np.clip((x - t) / x.dtype.type(beta), -1, 1),
    ),
    "Divergence": (
        lambda x, t, _: np.where(t == 0, x.dtype.type(0), t * np.log(t)) - t * x,
        lambda x, t, _: -t,
    ),
    "LogDivergence": (lambda x, t, _: np.exp(t) * (t - x), lambda x, t, _: -np.exp(t)),
    "BinaryCrossEntropy": (
        lambda x, t, _: (t - 1) * np.maximum(np.log1p(-x), -100) - t * np.maximum(np.log(x), -100),
        lambda x, t, _: (x - t) / np.maximum((1 - x) * x, x.dtype.type(1e-12)),
    ),
}


def _sign(d: np.ndarray) -> np.ndarray:
    """0 for NaN, as PyTorch has it."""
    return np.greater(d, 0).astype(d.dtype) - np.less(d, 0)


def _smooth(d: np.ndarray, beta: np.floating) -> np.ndarray:
    half = d.dtype.type(0.5)
    return np.where(d < beta, half * d * (d / beta), d - half * beta)


@quiet
def ruled(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, form: Any, divisor: float | None
) -> np.ndarray:
    """Costs of one form, or their sum over `divisor`.

    Parameters
    ----------
    x, target : array of one shape
    weight : array that broadcasts to it, or None
    form : pycnn.define._ruled_loss.Form
    divisor : float or None

    Returns
    -------
    array like x without `divisor`, else of shape (); dtype of x
    """
    cost = np.asarray(COSTS[form.cost][0](x, target, form.parameter))
    cost = (cost if weight is None else cost * weight) * x.dtype.type(form.factor)
    return np.asarray(cost if divisor is None else cost.sum() / x.dtype.type(divisor))


@quiet
def ruled_backward(
    dy: np.ndarray, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, form: Any,
    divisor: float | None,
) -> np.ndarray:  # fmt: skip
    """Gradient of `ruled` with respect to x."""
    dx = COSTS[form.cost][1](x, target, form.parameter)
    dx = dx * (dy * dy.dtype.type(form.factor / (divisor or 1)))
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
