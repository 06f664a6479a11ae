"""Dropout of elements and of whole channels, and their gradients."""

from typing import Any

from pycnn.define.dropout import DROPOUT, DROPOUT2D, DROPOUT2D_BACKWARD, DROPOUT_BACKWARD
from pycnn.define.public import operation


@operation(DROPOUT)
def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    *,
    seed: int | None = None,
    offset: int = 0,
    out: Any = None,
) -> Any:
    """Elements set to zero with probability `p`, the others divided by 1 - `p`.

    Which they are is a function of `seed`, `offset` and the element's number in row-major order
    alone, by the counter-based generator Philox4x32-10: the same on every backend, in every dtype.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    p : float from 0 to 1, default 0.5
        Probability of zero.
    training : bool, default True
        If false, the result is a copy of x.
    seed : int from 0 to 2^64 - 1, optional
        By default every call draws the next of the masks that `pycnn.manual_seed` begins. The
        gradient must be told a seed, so give one where there is to be a gradient.
    offset : int from 0 to 2^64 - 1, default 0
        Which of the independent sequences of `seed`; such as the number of the step.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        No mask: `dropout_backward` draws it again. A NaN or infinity that is dropped gives NaN, as
        in PyTorch.

    References
    ----------
    N. Srivastava et al.: Dropout: a simple way to prevent neural networks from overfitting,
    JMLR 2014.
    J. Salmon et al.: Parallel random numbers: as easy as 1, 2, 3, SC 2011.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.dropout(np.ones(6), seed=1)
    array([2., 2., 2., 2., 2., 2.])
    """


@operation(DROPOUT_BACKWARD)
def dropout_backward(
    dy: Any, p: float = 0.5, training: bool = True, *, seed: int, offset: int = 0, out: Any = None
) -> Any:
    """Gradient of `dropout`, which draws the same numbers again.

    Parameters
    ----------
    dy : array of any shape, any floating dtype
        Gradient with respect to the result of `dropout`. Any strides.
    p, training, seed, offset
        As `dropout` was given them.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `dy`. May be `dy` itself.

    Returns
    -------
    array like dy

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.dropout_backward(np.ones(6), seed=1)
    array([2., 2., 2., 2., 2., 2.])
    """


@operation(DROPOUT2D)
def dropout2d(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    *,
    seed: int | None = None,
    offset: int = 0,
    out: Any = None,
) -> Any:
    """Whole channels set to zero with probability `p`, the others divided by 1 - `p`.

    Which they are is a function of `seed`, `offset` and the channel's number
    alone, by the counter-based generator Philox4x32-10: the same on every backend, in every dtype.

    Parameters
    ----------
    x : array (N, C, H, W), any floating dtype
        Any strides.
    p : float from 0 to 1, default 0.5
        Probability of zero.
    training : bool, default True
        If false, the result is a copy of x.
    seed : int from 0 to 2^64 - 1, optional
        By default every call draws the next of the masks that `pycnn.manual_seed` begins. The
        gradient must be told a seed, so give one where there is to be a gradient.
    offset : int from 0 to 2^64 - 1, default 0
        Which of the independent sequences of `seed`; such as the number of the step.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        No mask: `dropout2d_backward` draws it again. A dropped NaN or infinity gives NaN, as
        in PyTorch.

    References
    ----------
    J. Tompson et al.: Efficient object localization using convolutional networks, CVPR 2015.
    J. Salmon et al.: Parallel random numbers: as easy as 1, 2, 3, SC 2011.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> y = pycnn.dropout2d(np.ones((1, 6, 2, 2)), seed=1)
    >>> y.mean(axis=(0, 2, 3))
    array([2., 2., 2., 2., 2., 2.])
    """


@operation(DROPOUT2D_BACKWARD)
def dropout2d_backward(
    dy: Any, p: float = 0.5, training: bool = True, *, seed: int, offset: int = 0, out: Any = None
) -> Any:
    """Gradient of `dropout2d`, which draws the same numbers again.

    Parameters
    ----------
    dy : array (N, C, H, W), any floating dtype
        Gradient with respect to the result of `dropout2d`. Any strides.
    p, training, seed, offset
        As `dropout2d` was given them.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `dy`. May be `dy` itself.

    Returns
    -------
    array like dy

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.dropout2d_backward(np.ones((1, 6, 2, 2)), seed=1).mean(axis=(0, 2, 3))
    array([2., 2., 2., 2., 2., 2.])
    """
