"""Losses over class indices on the CPU.

Cross-entropy does without the log-probabilities of the other classes: with t the target, e the
smoothing, w the weights, C classes, W = sum(w) and the logits z less their maximum,
L = log(sum(exp(z))), one position costs
    (1 - e) * w[t] * (L - z[t])  +  e / C * (W * L - sum_c w[c] * z[c]).
"""

import numpy as np

from pycnn.reference.cpu._common import quiet


@quiet
def cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Cross-entropy of class indices, as the oracle defines it.

    Parameters
    ----------
    logits : array (C,), (N, C) or (N, C, d1, ...)
    target : integer array (), (N,) or (N, d1, ...)
    weight : array (C,) or None
    ignore_index : int
    reduction : {"none", "sum", "mean"}
    label_smoothing : float

    Returns
    -------
    array like target with reduction "none", else of shape (); dtype of the logits

    Examples
    --------
    >>> loss = cross_entropy(np.zeros((1, 4)), np.array([2]), None, -100, "mean", 0.0)
    >>> bool(loss == np.log(4))
    True
    """
    z, t, kept, w = _columns(logits, target, weight, ignore_index)
    z = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    log_sum = np.log(np.exp(z).sum(axis=1))
    chosen = np.take_along_axis(z, t[:, None], axis=1)[:, 0]
    cost = (1 - label_smoothing) * w[t] * (log_sum - chosen)
    if label_smoothing > 0:
        z -= log_sum[:, None]  # not apart: a weight may be infinite
        cost -= label_smoothing / len(w) * np.einsum("c,ncs->ns", w, z)
    cost[~kept] = 0
    if reduction == "none":
        return cost.reshape(target.shape)
    total = cost.sum()
    return np.asarray(total if reduction == "sum" else total / w[t][kept].sum())


@quiet
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
    array like logits
    """
    z, t, kept, w = _columns(logits, target, weight, ignore_index)
    hard, smooth = (1 - label_smoothing) * w[t], label_smoothing / len(w)
    scale = np.broadcast_to(dy.reshape(t.shape if reduction == "none" else (1, 1)), t.shape)
    if reduction == "mean":
        scale = scale / w[t][kept].sum()
    dz = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    if smooth:  # the weight of a class that is no target counts for nothing else
        dz *= ((hard + smooth * w.sum()) / dz.sum(axis=1))[:, None]
        dz -= (smooth * w)[:, None]
    else:
        dz *= (hard / dz.sum(axis=1))[:, None]
    n, s = np.indices(t.shape)
    dz[n, t, s] -= hard
    dz *= scale[:, None]
    np.copyto(dz, 0, where=~kept[:, None])
    return dz.reshape(logits.shape)


@quiet
def soft_cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Cross-entropy with probabilities of the classes, as the oracle defines it.

    Parameters
    ----------
    logits, target : array (C,), (N, C) or (N, C, d1, ...)
    weight, ignore_index, reduction, label_smoothing
        As for `cross_entropy`.

    Returns
    -------
    array (), (N,) or (N, d1, ...) with reduction "none", else of shape (); dtype of the logits
    """
    z, share = _shares(logits, target, weight, label_smoothing)
    z = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    cost = -np.einsum("ncs,ncs->ns", share, z)
    if reduction == "none":
        return cost.reshape(logits.shape[:1] * (logits.ndim > 1) + logits.shape[2:])
    total = cost.sum()
    return np.asarray(total if reduction == "sum" else total / cost.dtype.type(cost.size))


@quiet
def soft_cross_entropy_backward(
    dy: np.ndarray,
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> np.ndarray:
    """Gradient of `soft_cross_entropy` with respect to the logits."""
    z, share = _shares(logits, target, weight, label_smoothing)
    dz = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    dz *= share.sum(axis=1, keepdims=True) / dz.sum(axis=1, keepdims=True)
    dz -= share
    n, _, positions = z.shape
    scale = dy.reshape((n, 1, positions) if reduction == "none" else (1, 1, 1))
    if reduction == "mean":
        scale = scale / z.dtype.type(max(n * positions, 1))
    dz *= scale
    return dz.reshape(logits.shape)


def _shares(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None, label_smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C, S), and what the logarithms of their probabilities are multiplied by."""
    n, classes = (1, len(logits)) if logits.ndim == 1 else logits.shape[:2]
    shape = n, classes, int(np.prod(logits.shape[2:]))
    share = (1 - label_smoothing) * target.reshape(shape) + label_smoothing / classes
    return logits.reshape(shape), share if weight is None else share * weight[:, None]


@quiet
def nll_loss(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
) -> np.ndarray:
    """-w[t] * x[t] for every position, as the oracle defines it.

    Parameters
    ----------
    x : array (C,), (N, C) or (N, C, d1, ...)
    target, weight, ignore_index, reduction
        As for `cross_entropy`.

    Returns
    -------
    array like target with reduction "none", else of shape (); dtype of x
    """
    log_p, t, kept, w = _columns(x, target, weight, ignore_index)
    cost = -w[t] * np.take_along_axis(log_p, t[:, None], axis=1)[:, 0]
    cost[~kept] = 0
    if reduction == "none":
        return cost.reshape(target.shape)
    total = cost.sum()
    return np.asarray(total if reduction == "sum" else total / w[t][kept].sum())


@quiet
def nll_loss_backward(
    dy: np.ndarray,
    shape: tuple[int, ...],
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
) -> np.ndarray:
    """Gradient of `nll_loss` with respect to the log-probabilities, which have this shape.

    Parameters
    ----------
    dy : array shaped as the loss
    shape : tuple of int
    target, weight, ignore_index, reduction
        As given to `nll_loss`.

    Returns
    -------
    array of that shape; dtype of dy
    """
    dx, t, kept, w = _columns(np.zeros(shape, dy.dtype), target, weight, ignore_index)
    scale = np.broadcast_to(dy.reshape(t.shape if reduction == "none" else (1, 1)), t.shape)
    if reduction == "mean":
        scale = scale / w[t][kept].sum()
    n, s = np.nonzero(kept)
    dx[n, t[n, s], s] = -w[t[n, s]] * scale[n, s]
    return dx.reshape(shape)


def _columns(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore_index: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(z (N, C, S), targets (N, S) with ignored ones set to 0, kept, weights)."""
    n, classes = (1, len(logits)) if logits.ndim == 1 else logits.shape[:2]
    z = logits.reshape(n, classes, int(np.prod(logits.shape[2:])))
    t = target.reshape(n, z.shape[2])
    kept = t != ignore_index
    w = np.ones(classes, z.dtype) if weight is None else weight
    return z, np.where(kept, t, 0), kept, w
