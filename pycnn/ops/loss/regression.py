"""Losses of numbers and the numbers they should be, and their gradients."""

from typing import Any

from pycnn.define._pointwise_loss import (
    MSE_LOSS,
    MSE_LOSS_BACKWARD,
    SUM_OF_HALF_SQUARES,
    SUM_OF_HALF_SQUARES_BACKWARD,
)
from pycnn.define._ruled_loss import RULED
from pycnn.define.public import operation


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

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_of_half_squares_backward(np.array(1.0), np.array([1.0, 5.0]), np.full(2, 2.0))
    array([-1.,  3.])
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

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, t = np.array([1.0, 5.0]), np.array([1.5, 2.0])
    >>> pycnn.huber_loss_backward(np.array(1.0), x, t, delta=2.0)
    array([-0.25,  1.  ])
    """
