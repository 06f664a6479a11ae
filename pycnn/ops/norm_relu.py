"""Batch normalisation in training, with a sum and the rectified linear unit in the same pass."""

from typing import Any

from pycnn.define.norm_relu import BATCH_NORM_RELU_TRAIN, BATCH_NORM_RELU_TRAIN_BACKWARD
from pycnn.define.public import operation


@operation(BATCH_NORM_RELU_TRAIN)
def batch_norm_relu_train(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    residual: Any = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any, Any, Any]:
    """`batch_norm_train`, a residual added, and `relu` of the sum: in one pass over the memory.

    y = max(0, (x - mean) * rstd * weight + bias + residual)

    Parameters
    ----------
    x, running_mean, running_var, weight, bias, momentum, eps, layout, out
        As for `batch_norm_train`.
    residual : array like x, optional
        What is added before the unit: the other branch of a residual block. Any strides.

    Returns
    -------
    (y, mean, rstd, new_running_mean, new_running_var)
        As from `batch_norm_train`; y is rounded once.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization, ICML 2015, algorithm 1.
    K. He et al.: Deep residual learning for image recognition, CVPR 2016, figure 2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[1.0], [3.0]])
    >>> pycnn.batch_norm_relu_train(x, eps=0.0)[0].tolist()
    [[0.0], [1.0]]
    >>> pycnn.batch_norm_relu_train(x, residual=x, eps=0.0)[0].tolist()
    [[0.0], [4.0]]
    """


@operation(BATCH_NORM_RELU_TRAIN_BACKWARD)
def batch_norm_relu_train_backward(
    dy: Any,
    x: Any,
    y: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """Gradients of `batch_norm_relu_train`.

    Parameters
    ----------
    dy : array
        Gradient with respect to y; shape and dtype of `x`. Any strides.
    x, weight, layout
        As `batch_norm_relu_train` was given them.
    y, mean, rstd
        What it returned: gradients pass where y is above zero.
    out : array, optional
        Takes dx: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    (dx, dweight, dbias, dresidual)
        The first three as from `batch_norm_backward`; the last is dy where it passes, from which
        the others are computed.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[1.0], [3.0]])
    >>> y, mean, rstd, _, _ = pycnn.batch_norm_relu_train(x, eps=0.0)
    >>> pycnn.batch_norm_relu_train_backward(x, x, y, mean, rstd)[2:]
    (array([3.]), array([[0.],
           [3.]]))
    """
