"""Losses and their gradients."""

from typing import Any

from pycnn.define._pointwise_loss import (
    BINARY_CROSS_ENTROPY,
    BINARY_CROSS_ENTROPY_BACKWARD,
    MSE_LOSS,
    MSE_LOSS_BACKWARD,
    SUM_OF_HALF_SQUARES,
    SUM_OF_HALF_SQUARES_BACKWARD,
)
from pycnn.define._ruled_loss import RULED
from pycnn.define.loss import (
    CROSS_ENTROPY,
    CROSS_ENTROPY_BACKWARD,
    NLL_LOSS,
    NLL_LOSS_BACKWARD,
)
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

    Raises
    ------
    TypeError
        If arrays are not all NumPy's or all CuPy's, or a dtype or type is another one.
    ValueError
        If shapes do not fit together, a parameter is out of range, or `out` cannot take the
        result. A target that is neither a class nor `ignore_index` is refused before anything
        runs; for CuPy arrays this check waits for the device.

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

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; also if the shape of `dy` is another one.

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

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

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

    Raises
    ------
    TypeError, ValueError
        As `nll_loss`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    >>> pycnn.nll_loss_backward(np.array(1.0), x, np.array([1, 0]))
    array([[ 0. , -0.5],
           [-0.5,  0. ]])
    """


@operation(MSE_LOSS)
def mse_loss(x: Any, target: Any, reduction: str = "mean", *, out: Any = None) -> Any:
    """Squared error: (x - target)^2 of every element, their mean or their sum.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    target : array of the same shape and dtype
        Any strides.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean over no elements is NaN.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `x`. Sums are formed in float32 for
        the 16-bit dtypes, and rounded once.

    Raises
    ------
    TypeError
        If arrays are not all NumPy's or all CuPy's, or have another dtype.
    ValueError
        If the shapes differ, `reduction` is another one, or `out` cannot take the result as it is.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mse_loss(np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    array(5.)
    """


@operation(MSE_LOSS_BACKWARD)
def mse_loss_backward(
    dy: Any, x: Any, target: Any, reduction: str = "mean", *, out: Any = None
) -> Any:
    """Gradient of `mse_loss` with respect to `x`; that of the target is its negative.

    Parameters
    ----------
    dy : array, dtype of x
        Gradient with respect to the loss: shape (), or that of `x` with reduction "none".
    x, target, reduction
        As given to `mse_loss`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mse_loss_backward(np.array(1.0), np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    array([-1.,  3.])
    """


@operation(SUM_OF_HALF_SQUARES)
def sum_of_half_squares(x: Any, target: Any, *, out: Any = None) -> Any:
    """Half the sum of the squared errors: 0.5 * sum((x - target)^2).

    The error of classical least squares; its gradient is the plain difference.

    Parameters
    ----------
    x, target, out
        As for `mse_loss`.

    Returns
    -------
    array of shape ()

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`.

    References
    ----------
    D. Rumelhart, G. Hinton, R. Williams: Learning representations by back-propagating errors,
    Nature 323, 1986, equation 3. C. Bishop: Pattern recognition and machine learning, 2006,
    section 1.1 (the sum-of-squares error function).

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_of_half_squares(np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    array(5.)
    """


@operation(SUM_OF_HALF_SQUARES_BACKWARD)
def sum_of_half_squares_backward(dy: Any, x: Any, target: Any, *, out: Any = None) -> Any:
    """Gradient of `sum_of_half_squares` with respect to `x`: dy * (x - target).

    Parameters
    ----------
    dy : array of shape (), dtype of x
        Gradient with respect to the loss.
    x, target
        As given to `sum_of_half_squares`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `mse_loss_backward`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_of_half_squares_backward(np.array(1.0), np.array([1.0, 5.0]), np.full(2, 2.0))
    array([-1.,  3.])
    """


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

    Raises
    ------
    TypeError
        If arrays are not all NumPy's or all CuPy's, or have another dtype.
    ValueError
        If shapes do not fit together, `reduction` is another one, or `out` cannot take the result
        as it is.

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

    Raises
    ------
    TypeError, ValueError
        As `binary_cross_entropy_with_logits`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([0.0, 0.0]), np.array([0.0, 1.0])
    >>> pycnn.binary_cross_entropy_with_logits_backward(np.array(1.0), x, t)
    array([ 0.25, -0.25])
    """


@operation(RULED["l1_loss"])
def l1_loss(x: Any, target: Any, reduction: str = "mean", *, out: Any = None) -> Any:
    """Distance: |x - target| of every element, their mean or their sum.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    target : array of the same shape and dtype
        Any strides.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean over no elements is NaN.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `x`. Sums are formed in float32 for
        the 16-bit dtypes, and rounded once.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.l1_loss(np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    array(2.)
    """


@operation(RULED["l1_loss_backward"])
def l1_loss_backward(
    dy: Any, x: Any, target: Any, reduction: str = "mean", *, out: Any = None
) -> Any:
    """Gradient of `l1_loss` with respect to `x`.

    Parameters
    ----------
    dy : array, dtype of x
        Gradient with respect to the loss: shape (), or that of `x` with reduction "none".
    x, target, reduction
        As given to `l1_loss`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `l1_loss`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.l1_loss_backward(np.array(1.0), np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    array([-0.5,  0.5])
    """


@operation(RULED["smooth_l1_loss"])
def smooth_l1_loss(
    x: Any, target: Any, reduction: str = "mean", beta: float = 1.0, *, out: Any = None
) -> Any:
    """Distance that is a square near zero.

    The cost of an element is d^2 / (2 beta) if d = |x - target| < beta, else d - beta / 2.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    target : array of the same shape and dtype
        Any strides.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean over no elements is NaN.
    beta : float, default 1.0
        At least 0; with 0 it is `l1_loss`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `x`. Sums are formed in float32 for
        the 16-bit dtypes, and rounded once.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also if a parameter is out of range.

    References
    ----------
    R. Girshick: Fast R-CNN, ICCV 2015, equation 3.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.smooth_l1_loss(np.array([1.0, 5.0]), np.array([1.5, 2.0]), "none")
    array([0.125, 2.5  ])
    """


@operation(RULED["smooth_l1_loss_backward"])
def smooth_l1_loss_backward(
    dy: Any, x: Any, target: Any, reduction: str = "mean", beta: float = 1.0, *, out: Any = None
) -> Any:
    """Gradient of `smooth_l1_loss` with respect to `x`.

    Parameters
    ----------
    dy : array, dtype of x
        Gradient with respect to the loss: shape (), or that of `x` with reduction "none".
    x, target, reduction, beta
        As given to `smooth_l1_loss`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `smooth_l1_loss`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.smooth_l1_loss_backward(np.array(1.0), np.array([1.0, 5.0]), np.array([1.5, 2.0]))
    array([-0.25,  0.5 ])
    """


@operation(RULED["huber_loss"])
def huber_loss(
    x: Any, target: Any, reduction: str = "mean", delta: float = 1.0, *, out: Any = None
) -> Any:
    """Squares that become distances.

    The cost of an element is d^2 / 2 if d = |x - target| < delta, else delta (d - delta / 2).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    target : array of the same shape and dtype
        Any strides.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean over no elements is NaN.
    delta : float, default 1.0
        Above 0.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `x`. Sums are formed in float32 for
        the 16-bit dtypes, and rounded once.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also if a parameter is out of range.

    References
    ----------
    P. Huber: Robust estimation of a location parameter, Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.huber_loss(np.array([1.0, 5.0]), np.array([1.5, 2.0]), "none", delta=2.0)
    array([0.125, 4.   ])
    """


@operation(RULED["huber_loss_backward"])
def huber_loss_backward(
    dy: Any, x: Any, target: Any, reduction: str = "mean", delta: float = 1.0, *, out: Any = None
) -> Any:
    """Gradient of `huber_loss` with respect to `x`.

    Parameters
    ----------
    dy : array, dtype of x
        Gradient with respect to the loss: shape (), or that of `x` with reduction "none".
    x, target, reduction, delta
        As given to `huber_loss`.
    out : array, optional
        Takes the result: contiguous, shape of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `huber_loss`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([1.0, 5.0]), np.array([1.5, 2.0])
    >>> pycnn.huber_loss_backward(np.array(1.0), x, t, delta=2.0)
    array([-0.25,  1.  ])
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

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also if a parameter is out of range.

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

    Raises
    ------
    TypeError, ValueError
        As `kl_div`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.log([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> pycnn.kl_div_backward(np.array(1.0), x, t, "batchmean")
    array([[-0.25, -0.75]])
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

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also if a NumPy array holds what is not from 0 to 1.

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

    Raises
    ------
    TypeError, ValueError
        As `binary_cross_entropy`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([0.5, 0.25]), np.array([0.0, 1.0])
    >>> pycnn.binary_cross_entropy_backward(np.array(1.0), x, t)
    array([ 1., -2.])
    """
