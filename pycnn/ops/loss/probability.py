"""Losses of probabilities, and their gradients."""

from typing import Any

from pycnn.define._pointwise_loss import BINARY_CROSS_ENTROPY, BINARY_CROSS_ENTROPY_BACKWARD
from pycnn.define._ruled_loss import RULED
from pycnn.define.public import operation


@operation(BINARY_CROSS_ENTROPY)
def binary_cross_entropy_with_logits(
    logits: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
    *,
    out: Any = None,
) -> Any:
    """Cross-entropy of probabilities sigmoid(logits), computed so that nothing overflows.

    An element costs ``-weight * (pos_weight * t * log(s) + (1 - t) * log(1 - s))`` with
    s = sigmoid(logit) and t its target.

    Parameters
    ----------
    logits : array of any shape, any floating dtype
        Any strides.
    target : array of the same shape and dtype
        Probabilities, 0 to 1 (which is not checked, as in PyTorch). Any strides.
    weight : array, optional
        Broadcasts to the shape of `logits`: a factor of the cost.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean divides by the number of elements, whatever the weights.
    pos_weight : array, optional
        Broadcasts to the shape of `logits`: weight of positive targets, such as one a class.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `logits`.

    References
    ----------
    C. Bishop: Pattern recognition and machine learning, 2006, equation 4.90.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([0.0, 1000.0]), np.array([0.5, 0.0])
    >>> pycnn.binary_cross_entropy_with_logits(x, t, reduction="none").round(4)
    array([6.931e-01, 1.000e+03])
    """


@operation(BINARY_CROSS_ENTROPY_BACKWARD)
def binary_cross_entropy_with_logits_backward(
    dy: Any,
    logits: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
    *,
    out: Any = None,
) -> Any:
    """Gradient of `binary_cross_entropy_with_logits` with respect to the logits.

    Parameters
    ----------
    dy : array, dtype of the logits
        Gradient with respect to the loss: shape (), or that of `logits` with reduction "none".
    logits, target, weight, reduction, pos_weight
        As given to `binary_cross_entropy_with_logits`.
    out : array, optional
        Takes the result: contiguous, shape of `logits`, memory of its own.

    Returns
    -------
    array like logits

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([0.0, 0.0]), np.array([0.0, 1.0])
    >>> pycnn.binary_cross_entropy_with_logits_backward(np.array(1.0), x, t)
    array([ 0.25, -0.25])
    """


@operation(RULED["binary_cross_entropy"])
def binary_cross_entropy(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", *, out: Any = None
) -> Any:
    """Cross-entropy of probabilities x.

    The cost of an element is -weight (t log(x) + (1 - t) log(1 - x)), t being the target.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Probabilities, 0 to 1. Any strides.
    target : array of the same shape and dtype
        Probabilities too. Any strides.
    weight : array, optional
        Broadcasts to the shape of `x`: a factor of the cost.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean over no elements is NaN.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `x`. Sums are formed in float32 for
        the 16-bit dtypes, and rounded once.

    Notes
    -----
    Logarithms are -100 at least, as in PyTorch. `binary_cross_entropy_with_logits` loses nothing
    where probabilities are close to 0 and 1.

    References
    ----------
    C. Bishop: Pattern recognition and machine learning, 2006, equation 4.90.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([0.5, 0.25]), np.array([0.0, 1.0])
    >>> np.exp(-pycnn.binary_cross_entropy(x, t, reduction="none"))
    array([0.5 , 0.25])
    """


@operation(RULED["binary_cross_entropy_backward"])
def binary_cross_entropy_backward(
    dy: Any, x: Any, target: Any, weight: Any = None, reduction: str = "mean", *, out: Any = None
) -> Any:
    """Gradient of `binary_cross_entropy` with respect to `x`.

    Parameters
    ----------
    dy : array, dtype of x
        Gradient with respect to the loss: shape (), or that of `x` with reduction "none".
    x, target, weight, reduction
        As given to `binary_cross_entropy`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([0.5, 0.25]), np.array([0.0, 1.0])
    >>> pycnn.binary_cross_entropy_backward(np.array(1.0), x, t)
    array([ 1., -2.])
    """


@operation(RULED["kl_div"])
def kl_div(
    x: Any, target: Any, reduction: str = "mean", log_target: bool = False, *, out: Any = None
) -> Any:
    """Kullback-Leibler divergence: target (log(target) - x), where x are log-probabilities.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    target : array of the same shape and dtype
        Any strides.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "batchmean" divides the sum by the extent of the first axis, as the divergence is defined;
        "mean" by the number of elements.
    log_target : bool, default False
        Whether the target holds log-probabilities too: ``exp(target) (target - x)``.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `x`. Sums are formed in float32 for
        the 16-bit dtypes, and rounded once.

    References
    ----------
    S. Kullback, R. Leibler: On information and sufficiency, Annals of Mathematical Statistics 22,
    1951.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.log([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> pycnn.kl_div(x, t, "batchmean").round(4)
    np.float64(0.1308)
    """


@operation(RULED["kl_div_backward"])
def kl_div_backward(
    dy: Any,
    x: Any,
    target: Any,
    reduction: str = "mean",
    log_target: bool = False,
    *,
    out: Any = None,
) -> Any:
    """Gradient of `kl_div` with respect to `x`.

    Parameters
    ----------
    dy : array, dtype of x
        Gradient with respect to the loss: shape (), or that of `x` with reduction "none".
    x, target, reduction, log_target
        As given to `kl_div`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.log([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> pycnn.kl_div_backward(np.array(1.0), x, t, "batchmean")
    array([[-0.25, -0.75]])
    """
