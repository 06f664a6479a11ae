"""Losses that compare two tensors: squared differences, and binary cross-entropy from logits."""

from collections.abc import Callable

import numpy as np


def _reduced(cost: np.ndarray, reduction: str, factor: float) -> np.ndarray:
    if reduction == "none":
        return factor * cost
    with np.errstate(invalid="ignore"):
        total = factor * cost.sum()
        return np.asarray(total if reduction == "sum" else np.divide(total, cost.size))


def _scale(dy: np.ndarray, count: int, reduction: str, factor: float) -> np.ndarray:
    return factor * dy.astype(np.float64) / (max(count, 1) if reduction == "mean" else 1)


def mse_loss(x: np.ndarray, target: np.ndarray, reduction: str, factor: float) -> np.ndarray:
    """factor * (x - target)^2: of every element, their sum, or that by their number.

    Parameters
    ----------
    x, target : array of one shape
    reduction : {"none", "sum", "mean"}
    factor : float

    Returns
    -------
    array like x with reduction "none", else of shape (); float64

    Examples
    --------
    >>> mse_loss(np.array([1.0, 5.0]), np.array([2.0, 2.0]), "sum", 0.5).item()
    5.0
    """
    return _reduced((x.astype(np.float64) - target) ** 2, reduction, factor)


def mse_loss_backward(
    dy: np.ndarray, x: np.ndarray, target: np.ndarray, reduction: str, factor: float
) -> np.ndarray:
    """Gradient of `mse_loss` with respect to x."""
    scale = _scale(dy, x.size, reduction, factor)
    return np.asarray(2 * scale * (x.astype(np.float64) - target))


def binary_cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    pos_weight: np.ndarray | None,
    reduction: str,
    factor: float,
) -> np.ndarray:
    """weight * (-pos_weight * t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x))).

    Parameters
    ----------
    x, target : array of one shape
    weight, pos_weight : array that broadcasts to it, or None
    reduction, factor
        As for `mse_loss`.

    Returns
    -------
    array like x with reduction "none", else of shape (); float64

    Examples
    --------
    >>> zero = np.zeros(1)
    >>> bool(binary_cross_entropy(zero, zero, None, None, "sum", 1.0) == np.log(2))
    True
    """
    x, t, w, p = _wide(x, target, weight, pos_weight)
    with np.errstate(invalid="ignore"):
        positive, negative = np.logaddexp(0.0, -x), np.logaddexp(0.0, x)
        exact = p * _times(t, positive) + _times(1 - t, negative)
        # Of an infinite target the two have different signs; put in another order, they may add.
        infinite = (1 + _times(p - 1, t)) * positive + (1 - t) * x
        cost = w * np.where(np.isinf(t), infinite, exact)
    return _reduced(cost, reduction, factor)


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
    scale = _scale(dy, x.size, reduction, factor)
    x, t, w, p = _wide(x, target, weight, pos_weight)
    with np.errstate(over="ignore", invalid="ignore"):
        positive, negative = 1 / (1 + np.exp(x)), 1 / (1 + np.exp(-x))
        exact = (1 - t) * negative - p * t * positive
        slope = np.where(np.isinf(t), (1 - t) - (1 + _times(p - 1, t)) * positive, exact)
    return np.asarray(scale * w * slope)


def _times(factor: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Their product; nothing times infinity is nothing."""
    return factor * np.where((factor == 0) & np.isinf(value), 0.0, value)


def _wide(*arrays: np.ndarray | None) -> tuple[np.ndarray, ...]:
    return tuple(np.ones(()) if a is None else a.astype(np.float64) for a in arrays)


def ruled(
    name: str,
    x: np.ndarray,
    t: np.ndarray,
    weight: np.ndarray | None,
    reduction: str,
    **settings: float,
) -> np.ndarray:
    """The loss called `name` of the public functions, with its other settings."""
    w, x, t = _wide(weight, x, t)
    with np.errstate(all="ignore"):
        cost = np.asarray(COSTS[name](x, t, **settings) * w)
        if reduction == "batchmean":
            return np.asarray(np.divide(cost.sum(), len(x) if x.ndim else 1))
    return _reduced(cost, reduction, 1.0)


def ruled_backward(
    name: str,
    dy: np.ndarray,
    x: np.ndarray,
    t: np.ndarray,
    weight: np.ndarray | None,
    reduction: str,
    **settings: float,
) -> np.ndarray:
    """Gradient of `ruled` with respect to x."""
    w, x, t = _wide(weight, x, t)
    scale = _scale(dy, x.size, reduction, 1.0)
    if reduction == "batchmean":
        scale = scale / max(len(x), 1) if x.ndim else scale
    with np.errstate(all="ignore"):
        return np.asarray(SLOPES[name](x, t, **settings) * w * scale)


def _huber(x: np.ndarray, t: np.ndarray, delta: float) -> np.ndarray:
    d = np.abs(x - t)
    return np.where(d < delta, d**2 / 2, delta * (d - delta / 2))


def _l1(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.abs(x - t)


def _l1_slope(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x - t), 0.0, np.sign(x - t))


def _divergence(x: np.ndarray, t: np.ndarray, log_target: bool) -> np.ndarray:
    if log_target:  # in one product: exp(t) may be infinite
        return np.exp(t) * (t - x)
    return t * np.log(np.where(t == 0, 1.0, t)) - t * x


def _bits(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -t * np.maximum(np.log(x), -100) - (1 - t) * np.maximum(np.log(1 - x), -100)


COSTS: dict[str, Callable[..., np.ndarray]] = {
    "l1_loss": _l1,
    "smooth_l1_loss": lambda x, t, beta: _huber(x, t, beta) / beta if beta else _l1(x, t),
    "huber_loss": _huber,
    "kl_div": _divergence,
    "binary_cross_entropy": _bits,
}

SLOPES: dict[str, Callable[..., np.ndarray]] = {
    "l1_loss": _l1_slope,
    "smooth_l1_loss": lambda x, t, beta: (
        np.clip(x - t, -beta, beta) / beta if beta else _l1_slope(x, t)
    ),
    "huber_loss": lambda x, t, delta: np.clip(x - t, -delta, delta),
    "kl_div": lambda x, t, log_target: -np.exp(t) if log_target else -t,
    "binary_cross_entropy": lambda x, t: (x - t) / np.maximum(x * (1 - x), 1e-12),
}
