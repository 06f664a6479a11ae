"""Losses of classes, and their gradients."""

from typing import Any

from pycnn.define.loss import CROSS_ENTROPY, CROSS_ENTROPY_BACKWARD, NLL_LOSS, NLL_LOSS_BACKWARD
from pycnn.define.public import operation


@operation(CROSS_ENTROPY)
def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    out: Any = None,
) -> Any:
    """Softmax cross-entropy of classes or of their probabilities, straight from the logits.

    With t the target of a position, q the log-softmax of its logits, e the label smoothing and w
    the class weights, the position costs ``-(1 - e) w[t] q[t] - e / C sum_c w[c] q[c]``; where t
    are probabilities, ``-sum_c w[c] ((1 - e) t[c] + e / C) q[c]``.

    Parameters
    ----------
    logits : array (C,), (N, C) or (N, C, d1, ...), any floating dtype
        Any strides. C is at least 1.
    target : array (), (N,) or (N, d1, ...), int64 or int32; or array like logits
        Class of every position; or the probabilities of the classes, of the shape and dtype of the
        logits (not checked to be any, as in PyTorch). Any strides.
    weight : array (C,), optional
        Weight of every class, of the logits' dtype; one each by default.
    ignore_index : int, default -100
        A target of this value costs nothing and has no gradient, whatever its logits. With
        probabilities it must be negative.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean is weighted: the sum of the costs over the sum of w[t] of the positions that are
        not ignored, or over the number of positions where targets are probabilities. It is NaN
        where there are none.
    label_smoothing : float, default 0.0
        Share of the target that is spread evenly over all classes, 0 to 1.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", one cost for each position: (), (N,) or (N, d1, ...).

    Notes
    -----
    Deterministic: sums are formed in two stages, in an order that depends on the shape alone.

    References
    ----------
    M. Milakov, N. Gimelshein: Online normalizer calculation for softmax, arXiv 1805.02867, 2018.
    C. Szegedy et al.: Rethinking the Inception architecture for computer vision, CVPR 2016,
    section 7 (label smoothing).

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> logits = np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    >>> cost = pycnn.cross_entropy(logits, np.array([1, 1]), reduction="none")
    >>> np.exp(-cost)
    array([0.25, 0.75])
    """


@operation(CROSS_ENTROPY_BACKWARD)
def cross_entropy_backward(
    dy: Any,
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    out: Any = None,
) -> Any:
    """Gradient of `cross_entropy` with respect to the logits.

    Parameters
    ----------
    dy : array, dtype of the logits
        Gradient with respect to the loss, of its shape.
    logits, target, weight, ignore_index, reduction, label_smoothing
        As given to `cross_entropy`.
    out : array, optional
        Takes the result: contiguous, shape of `logits`, memory of its own.

    Returns
    -------
    array like logits

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> logits = np.log([[0.5, 0.25, 0.25]])
    >>> pycnn.cross_entropy_backward(np.array(1.0), logits, np.array([1]))
    array([[ 0.5 , -0.75,  0.25]])
    """


@operation(NLL_LOSS)
def nll_loss(
    log_probabilities: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    out: Any = None,
) -> Any:
    """Negative log-likelihood of class indices: ``-weight[t] * log_probabilities[t]``.

    Parameters
    ----------
    log_probabilities : array (C,), (N, C) or (N, C, d1, ...), any floating dtype
        Such as `log_softmax` returns. Any strides. C is at least 1.
    target, weight, ignore_index, reduction, out
        As for `cross_entropy`, which takes logits and saves a pass over memory; here targets are
        classes, int64 or int32.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `target`.

    References
    ----------
    C. Bishop: Pattern recognition and machine learning, 2006, section 4.3.4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.nll_loss(np.array([[-1.0, -2.0], [-3.0, -4.0]]), np.array([1, 0]))
    array(2.5)
    """


@operation(NLL_LOSS_BACKWARD)
def nll_loss_backward(
    dy: Any,
    log_probabilities: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    out: Any = None,
) -> Any:
    """Gradient of `nll_loss` with respect to the log-probabilities.

    Parameters
    ----------
    dy : array, dtype of the log-probabilities
        Gradient with respect to the loss: shape (), or that of `target` with reduction "none".
    log_probabilities, target, weight, ignore_index, reduction
        As given to `nll_loss`; of the log-probabilities only shape and dtype matter.
    out : array, optional
        Takes the result: contiguous, shape of `log_probabilities`, memory of its own.

    Returns
    -------
    array like log_probabilities

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    >>> pycnn.nll_loss_backward(np.array(1.0), x, np.array([1, 0]))
    array([[ 0. , -0.5],
           [-0.5,  0. ]])
    """
