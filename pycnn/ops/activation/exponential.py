"""Activations that are exponential below zero and straight above, and their gradients."""

from typing import Any

from pycnn.define.activation import ACTIVATIONS
from pycnn.define.public import operation


@operation(ACTIVATIONS["elu"])
def elu(x: Any, alpha: float = 1.0, *, out: Any = None) -> Any:
    """Exponential linear unit: x if x > 0, else `alpha` (exp(x) - 1).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    alpha : float, default 1.0
        Finite.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    D. Clevert, T. Unterthiner, S. Hochreiter: Fast and accurate deep network learning by
    exponential linear units (ELUs), ICLR 2016.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.elu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.6321,  0.    ,  2.    ])
    """


@operation(ACTIVATIONS["elu_backward"])
def elu_backward(dy: Any, x: Any, alpha: float = 1.0, *, out: Any = None) -> Any:
    """Gradient of `elu`: dy where x > 0, else `alpha` exp(x) dy.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `elu`. Any strides.
    x : array of any shape, any floating dtype
        What `elu` was given.
    alpha
        As `elu` was given it.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.elu_backward(np.array([7.0, 8.0, 9.0]), np.array([-1.0, 0.0, 2.0])).round(4)
    array([2.5752, 8.    , 9.    ])
    """


@operation(ACTIVATIONS["selu"])
def selu(x: Any, *, out: Any = None) -> Any:
    """Scaled exponential linear unit: 1.0507 `elu`(x, 1.6733), which keeps mean 0 and variance 1.

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
    G. Klambauer et al.: Self-normalizing neural networks, NIPS 2017, which gives the constants.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.selu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-1.1113,  0.    ,  2.1014])
    """


@operation(ACTIVATIONS["selu_backward"])
def selu_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `selu`: 1.0507 times that of `elu`.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `selu`. Any strides.
    x : array of any shape, any floating dtype
        What `selu` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, 1.0507 dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.selu_backward(np.ones(2), np.array([-1.0, 2.0])).round(4)
    array([0.6468, 1.0507])
    """


@operation(ACTIVATIONS["celu"])
def celu(x: Any, alpha: float = 1.0, *, out: Any = None) -> Any:
    """Continuously differentiable `elu`: x if x > 0, else `alpha` (exp(x / `alpha`) - 1).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    alpha : float, default 1.0
        Finite and not zero.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    J. Barron: Continuously differentiable exponential linear units, 2017.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.celu(np.array([-1.0, 2.0]), 2.0).round(4)
    array([-0.7869,  2.    ])
    """


@operation(ACTIVATIONS["celu_backward"])
def celu_backward(dy: Any, x: Any, alpha: float = 1.0, *, out: Any = None) -> Any:
    """Gradient of `celu`: dy where x > 0, else exp(x / `alpha`) dy.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `celu`. Any strides.
    x : array of any shape, any floating dtype
        What `celu` was given.
    alpha
        As `celu` was given it.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.celu_backward(np.ones(2), np.array([-1.0, 2.0]), 2.0).round(4)
    array([0.6065, 1.    ])
    """
