"""The activation with a learned slope, and its gradient."""

from typing import Any

from pycnn.define.prelu import PRELU, PRELU_BACKWARD
from pycnn.define.public import operation


@operation(PRELU)
def prelu(x: Any, weight: Any, *, out: Any = None) -> Any:
    """Rectified linear unit with a learned slope: x if x > 0, else `weight` x.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Axis 1 are the channels. Any strides.
    weight : array () or (1,) or (C,), the same dtype
        One slope, or one for each channel.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Delving deep into rectifiers, ICCV 2015.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.prelu(np.array([[-1.0, -2.0], [3.0, -4.0]]), np.array([0.5, 0.25]))
    array([[-0.5, -0.5],
           [ 3. , -1. ]])
    """


@operation(PRELU_BACKWARD)
def prelu_backward(dy: Any, x: Any, weight: Any) -> tuple[Any, Any]:
    """Gradient of `prelu`: (dx, dweight).

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `prelu`. Any strides.
    x, weight : arrays
        What `prelu` was given.

    Returns
    -------
    (dx, dweight) : arrays like x and weight
        dx is dy where x > 0, else `weight` dy; dweight the sum of x dy where x <= 0, in an order
        that depends on the shapes alone. At 0 and for NaN the slope counts, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[-1.0, -2.0], [3.0, -4.0]])
    >>> dx, dweight = pycnn.prelu_backward(np.ones((2, 2)), x, np.array([0.5, 0.25]))
    >>> dx
    array([[0.5 , 0.25],
           [1.  , 0.25]])
    >>> dweight
    array([-1., -6.])
    """
