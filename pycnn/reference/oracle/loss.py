"""Losses: cross-entropy from logits, with class weights, an ignored index and label smoothing,
and the negative log-likelihood.

With t the target, p = softmax(z), e the smoothing and w the class weights, one position costs
    (1 - e) * w[t] * -log p[t]  +  e / C * sum_c w[c] * -log p[c]
and "mean" divides the sum of the costs by the sum of w[t] over the positions not ignored
(NaN when all are). An ignored position costs 0 and gets gradient 0, whatever its logits.
"""

import numpy as np

from pycnn.reference.oracle.softmax import log_softmax


def cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Cross-entropy of class indices.

    Parameters
    ----------
    logits : array (C,), (N, C) or (N, C, d1, ...)
    target : integer array (), (N,) or (N, d1, ...)
    weight : array (C,) or None
        Class weights, one each by default.
    ignore_index : int
        Target value that does not count.
    reduction : {"none", "sum", "mean"}
    label_smoothing : float
        Share of the target spread evenly over all classes.

    Returns
    -------
    array like target with reduction "none", else of shape (); float64

    Examples
    --------
    >>> loss = cross_entropy(np.zeros((1, 4)), np.array([2]), None, -100, "mean", 0.0)
    >>> bool(loss == np.log(4))
    True
    """
    z, t, kept, w = _rows(logits, target, weight, ignore_index)
    log_p = log_softmax(z, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cost = -(1 - label_smoothing) * w[t] * log_p[np.arange(len(t)), t]
        if label_smoothing > 0:
            cost -= label_smoothing / len(w) * (w * log_p).sum(axis=1)
        cost = np.where(kept, cost, 0.0)
        if reduction == "none":
            return cost.reshape(target.shape)
        total = cost.sum()
        return np.asarray(total if reduction == "sum" else total / w[t][kept].sum())


def cross_entropy_backward(
    dy: np.ndarray,
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Gradient of `cross_entropy` with respect to the logits.

    Parameters
    ----------
    dy : array shaped as the loss
    logits, target, weight, ignore_index, reduction, label_smoothing
        As given to `cross_entropy`.

    Returns
    -------
    array like logits, float64
    """
    z, t, kept, w = _rows(logits, target, weight, ignore_index)
    p = np.exp(log_softmax(z, 1))
    one_hot = np.arange(len(w)) == t[:, None]
    # Of a target of infinite weight NaN, as the logits' share in it is taken from the whole.
    hard = w[t][:, None] * p - np.where(one_hot, w, 0.0)
    smooth = (w.sum() * p - w) / len(w)
    scale = np.broadcast_to(np.asarray(dy, np.float64).reshape(-1), t.shape)
    if reduction == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = scale / w[t][kept].sum()
    mixed = (1 - label_smoothing) * hard + label_smoothing * smooth if label_smoothing else hard
    dz = scale[:, None] * mixed
    dz[~kept] = 0.0
    if logits.ndim == 1:
        return dz.reshape(logits.shape)
    n, c, *rest = logits.shape
    return np.moveaxis(dz.reshape(n, *rest, c), -1, 1)


def soft_cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Cross-entropy with probabilities t of the classes: -sum_c w[c] u[c] log p[c].

    u is ``(1 - e) t + e / C``; "mean" divides by the number of positions, whatever the weights.

    Parameters
    ----------
    logits, target : array (C,), (N, C) or (N, C, d1, ...)
    weight, reduction, label_smoothing
        As for `cross_entropy`.

    Returns
    -------
    array (), (N,) or (N, d1, ...) with reduction "none", else of shape (); float64
    """
    share = _share(logits, target, weight, label_smoothing)
    axis = min(logits.ndim - 1, 1)
    with np.errstate(invalid="ignore"):
        cost = -(share * log_softmax(logits, axis)).sum(axis=axis)
        if reduction == "none":
            return np.asarray(cost)
        return np.asarray(cost.sum() if reduction == "sum" else np.divide(cost.sum(), cost.size))


def soft_cross_entropy_backward(
    dy: np.ndarray,
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Gradient of `soft_cross_entropy` with respect to the logits."""
    share = _share(logits, target, weight, label_smoothing)
    axis = min(logits.ndim - 1, 1)
    p = np.exp(log_softmax(logits, axis))
    dz = p * share.sum(axis=axis, keepdims=True) - share
    scale = dy.astype(np.float64)
    if reduction == "mean":
        scale = scale / max(logits.size // logits.shape[axis], 1)
    return np.asarray(dz * (np.expand_dims(scale, axis) if reduction == "none" else scale))


def _share(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None, label_smoothing: float
) -> np.ndarray:
    classes = logits.shape[min(logits.ndim - 1, 1)]
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    along = (-1,) + (1,) * max(logits.ndim - 2, 0)
    even = label_smoothing / classes
    return np.asarray(w.reshape(along) * ((1 - label_smoothing) * target.astype(np.float64) + even))


def nll_loss(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
) -> np.ndarray:
    """Negative log-likelihood: -w[t] * x[t] for every position.

    Parameters
    ----------
    x : array (C,), (N, C) or (N, C, d1, ...)
        Log-probabilities.
    target, weight, ignore_index, reduction
        As for `cross_entropy`.

    Returns
    -------
    array like target with reduction "none", else of shape (); float64

    Examples
    --------
    >>> nll_loss(np.array([[-1.0, -2.0]]), np.array([1]), None, -100, "mean").item()
    2.0
    """
    log_p, t, kept, w = _rows(x, target, weight, ignore_index)
    with np.errstate(invalid="ignore", divide="ignore"):
        cost = np.where(kept, -w[t] * log_p[np.arange(len(t)), t].astype(np.float64), 0.0)
        if reduction == "none":
            return cost.reshape(target.shape)
        total = cost.sum()
        return np.asarray(total if reduction == "sum" else total / w[t][kept].sum())


def nll_loss_backward(
    dy: np.ndarray,
    shape: tuple[int, ...],
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
) -> np.ndarray:
    """Gradient of `nll_loss` with respect to the log-probabilities.

    Parameters
    ----------
    dy : array shaped as the loss
    shape : tuple of int
        Of the log-probabilities.
    target, weight, ignore_index, reduction
        As given to `nll_loss`.

    Returns
    -------
    array of that shape, float64
    """
    rows, t, kept, w = _rows(np.zeros(shape), target, weight, ignore_index)
    scale = np.broadcast_to(np.asarray(dy, np.float64).reshape(-1), t.shape)
    if reduction == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = scale / w[t][kept].sum()
    dx = np.where(kept[:, None] & (np.arange(len(w)) == t[:, None]), -(w[t] * scale)[:, None], rows)
    if len(shape) == 1:
        return dx.reshape(shape)
    n, c, *rest = shape
    return np.moveaxis(dx.reshape(n, *rest, c), -1, 1)


def _rows(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore_index: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One row of logits per position: (z, target with ignored ones set to 0, kept, weights)."""
    class_axis = 0 if logits.ndim == 1 else 1
    classes = logits.shape[class_axis]
    z = np.moveaxis(logits, class_axis, -1).reshape(target.size, classes)
    t = target.reshape(-1)
    kept = t != ignore_index
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    return z, np.where(kept, t, 0), kept, w
