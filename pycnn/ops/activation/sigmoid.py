"""Activations that turn a step or a ramp into a smooth curve, and their gradients."""

from typing import Any

from pycnn.define.activation import ACTIVATIONS
from pycnn.define.public import operation


@operation(ACTIVATIONS["sigmoid"])
def sigmoid(x: Any, *, out: Any = None) -> Any:
    """Logistic function: 1 / (1 + exp(-x)).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    The definition; with exp(-|x|), so that nothing overflows and small results keep their digits.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sigmoid(np.array([-2.0, 0.0, 2.0])).round(4)
    array([0.1192, 0.5   , 0.8808])
    """


@operation(ACTIVATIONS["sigmoid_backward"])
def sigmoid_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `sigmoid`: y (1 - y) dy of y = sigmoid(x).

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `sigmoid`. Any strides.
    x : array of any shape, any floating dtype
        What `sigmoid` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sigmoid_backward(np.ones(2), np.array([0.0, 2.0])).round(4)
    array([0.25 , 0.105])
    """


@operation(ACTIVATIONS["tanh"])
def tanh(x: Any, *, out: Any = None) -> Any:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    The definition; 1 - y^2 as 1 / cosh(x)^2, which keeps its digits where it is small.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.tanh(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.7616,  0.    ,  0.7616])
    """


@operation(ACTIVATIONS["tanh_backward"])
def tanh_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `tanh`: (1 - y^2) dy of y = tanh(x).

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `tanh`. Any strides.
    x : array of any shape, any floating dtype
        What `tanh` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.tanh_backward(np.ones(2), np.array([0.0, 1.0])).round(4)
    array([1.  , 0.42])
    """


@operation(ACTIVATIONS["softplus"])
def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0, *, out: Any = None) -> Any:
    """Smooth form of `relu`: log(1 + exp(`beta` x)) / `beta`.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    beta : float, default 1.0
        Finite and not zero.
    threshold : float, default 20.0
        Where `beta` x is larger, the result is x.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        x itself where `beta` x > `threshold`. A NaN stays NaN.

    References
    ----------
    C. Dugas et al.: Incorporating second-order functional knowledge for better option pricing,
    NIPS 2000.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softplus(np.array([-1.0, 0.0, 30.0])).round(4)
    array([ 0.3133,  0.6931, 30.    ])
    """


@operation(ACTIVATIONS["softplus_backward"])
def softplus_backward(
    dy: Any, x: Any, beta: float = 1.0, threshold: float = 20.0, *, out: Any = None
) -> Any:
    """Gradient of `softplus`: dy where `beta` x > `threshold`, else `sigmoid`(`beta` x) dy.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `softplus`. Any strides.
    x : array of any shape, any floating dtype
        What `softplus` was given.
    beta, threshold
        As `softplus` was given them.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softplus_backward(np.ones(3), np.array([-1.0, 0.0, 30.0])).round(4)
    array([0.2689, 0.5   , 1.    ])
    """


@operation(ACTIVATIONS["softsign"])
def softsign(x: Any, *, out: Any = None) -> Any:
    """x / (1 + |x|).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        NaN for NaN and for infinities, as in PyTorch.

    References
    ----------
    J. Bergstra et al.: Quadratic polynomials learn better image features, 2009.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softsign(np.array([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """


@operation(ACTIVATIONS["softsign_backward"])
def softsign_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `softsign`: dy / (1 + |x|)^2.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `softsign`. Any strides.
    x : array of any shape, any floating dtype
        What `softsign` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        NaN where x is NaN or infinite, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softsign_backward(np.ones(2), np.array([0.0, 3.0]))
    array([1.    , 0.0625])
    """
