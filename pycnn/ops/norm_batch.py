"""Batch normalisation: with running statistics, and with those of the batch."""

from typing import Any

from pycnn.define.norm_batch import (
    BATCH_NORM,
    BATCH_NORM_BACKWARD,
    BATCH_NORM_TRAIN,
    BATCH_NORM_TRAIN_BACKWARD,
)
from pycnn.define.public import operation


@operation(BATCH_NORM)
def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Normalise every channel by its running statistics, as a network in use does.

    y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    Parameters
    ----------
    x : array (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W), any floating dtype
        Any strides.
    running_mean, running_var : array (C,)
        Of the dtype of `x`, or of the one it is computed in: float32 where `x` is of 16 bits.
    weight, bias : array (C,), optional
        One and zero if None; dtypes as for `running_mean`.
    training : False
        In PyTorch's place. For training there is `batch_norm_train`, which returns the new
        running statistics: arguments are never changed.
    momentum : float, default 0.1
        In PyTorch's place; without effect here.
    eps : float, default 1e-5
        At least 0.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Whether the channels are axis 1 of `x` or the last.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x

    See Also
    --------
    fold_batch_norm : The same as scale and shift, for the epilogue of a convolution.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization, ICML 2015, algorithm 2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> mean, var = np.array([1.0, 0.0]), np.array([4.0, 1.0])
    >>> pycnn.batch_norm(np.array([[5.0, 3.0]]), mean, var, eps=0.0)
    array([[2., 3.]])
    """


@operation(BATCH_NORM_BACKWARD)
def batch_norm_backward(
    dy: Any,
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `batch_norm`, where the statistics are constants.

    Parameters
    ----------
    dy : array
        Gradient with respect to the result; shape and dtype of `x`. Any strides.
    x, running_mean, running_var, weight, eps, layout
        As for `batch_norm`.
    out : array, optional
        Takes dx: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    (dx, dweight, dbias) : array like x, arrays (C,)
        The latter of the dtype of `weight`, or of statistics if it is None; then dweight is the
        gradient for a weight of one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, x, zero, one = np.ones((2, 1)), np.array([[1.0], [2.0]]), np.zeros(1), np.ones(1)
    >>> pycnn.batch_norm_backward(dy, x, zero, one, 3 * one, eps=0.0)[1:]
    (array([3.]), array([2.]))
    """


@operation(BATCH_NORM_TRAIN)
def batch_norm_train(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any, Any, Any]:
    """Normalise every channel by the statistics of this batch, and return them.

    y = (x - mean) * rstd * weight + bias with rstd = 1 / sqrt(variance + eps), mean and variance
    over all values of a channel. The new running statistics are
    (1 - momentum) * running + momentum * (mean, or variance over n - 1): PyTorch writes them into
    its arguments, this function returns them.

    Parameters
    ----------
    x, weight, bias, layout, out
        As for `batch_norm`; at least two values for each channel.
    running_mean, running_var : array (C,), optional
        The running statistics so far.
    momentum : float, default 0.1
        Share of this batch in the new ones.
    eps : float, default 1e-5
        At least 0.

    Returns
    -------
    (y, mean, rstd, new_running_mean, new_running_var)
        y like x; mean and rstd (C,), which `batch_norm_train_backward` takes, of the dtype that
        is computed in; new running statistics of the dtype of the old, None where those are.
        A NaN or an infinity makes its channel NaN, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`; also if there are fewer than two values for a channel.

    Notes
    -----
    One stable pass over x finds mean and variance together: running means and squared deviations
    (Welford 1962), merged pairwise (Chan, Golub, LeVeque 1979), in an order that depends on the
    shape alone. The second pass over x writes y.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization, ICML 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> y, mean, rstd, running, _ = pycnn.batch_norm_train(np.array([[1.0], [3.0]]), np.zeros(1))
    >>> mean, running
    (array([2.]), array([0.2]))
    """


@operation(BATCH_NORM_TRAIN_BACKWARD)
def batch_norm_train_backward(
    dy: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `batch_norm_train`, through the statistics too.

    Parameters
    ----------
    dy : array
        Gradient with respect to y; shape and dtype of `x`. Any strides.
    x, weight, layout
        As `batch_norm_train` was given them.
    mean, rstd : array (C,)
        What it returned.
    out : array, optional
        Takes dx: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    (dx, dweight, dbias)
        As from `batch_norm_backward`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[1.0], [3.0]])
    >>> _, mean, rstd, _, _ = pycnn.batch_norm_train(x, eps=0.0)
    >>> dx, dweight, dbias = pycnn.batch_norm_train_backward(x, x, mean, rstd)
    >>> dx.tolist(), dweight, dbias
    ([[0.0], [0.0]], array([2.]), array([4.]))
    """


def fold_batch_norm(
    running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> tuple[Any, Any]:
    """Batch norm with running statistics as one factor and one summand for each channel.

    scale = weight / sqrt(running_var + eps) and shift = bias - running_mean * scale, so that
    `batch_norm` is x * scale + shift: what `conv2d(..., scale=, shift=)` applies at no cost.

    Parameters
    ----------
    running_mean, running_var : array (C,)
        NumPy or CuPy.
    weight, bias : array (C,), optional
        One and zero if None.
    eps : float, default 1e-5

    Returns
    -------
    (scale, shift) : arrays (C,)

    Notes
    -----
    Where a mean is many deviations from zero, x * scale + shift is a difference of large numbers;
    `batch_norm` takes the mean off first.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.fold_batch_norm(np.array([6.0]), np.array([4.0]), eps=0.0)
    (array([0.5]), array([-3.]))
    """
    scale = (running_var + eps) ** -0.5
    if weight is not None:
        scale = scale * weight
    shift = -running_mean * scale
    return scale, shift if bias is None else shift + bias
