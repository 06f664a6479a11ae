"""Activations that multiply x by a smooth gate, and their gradients."""

from typing import Any

from pycnn.define.activation import ACTIVATIONS
from pycnn.define.public import operation


@operation(ACTIVATIONS["gelu"])
def gelu(x: Any, approximate: str = "none", *, out: Any = None) -> Any:
    """Gaussian error linear unit: x P(x), P the standard normal distribution function.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    approximate : {"none", "tanh"}, default "none"
        "tanh": x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN, and -infinity gives NaN, as in PyTorch.

    References
    ----------
    D. Hendrycks, K. Gimpel: Gaussian error linear units (GELUs), 2016.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.gelu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.1587,  0.    ,  1.9545])
    """


@operation(ACTIVATIONS["gelu_backward"])
def gelu_backward(dy: Any, x: Any, approximate: str = "none", *, out: Any = None) -> Any:
    """Gradient of `gelu`: (P(x) + x P'(x)) dy, or that of the form by tanh.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `gelu`. Any strides.
    x : array of any shape, any floating dtype
        What `gelu` was given.
    approximate
        As `gelu` was given it.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        NaN where x is NaN or infinite, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.gelu_backward(np.ones(2), np.array([0.0, 2.0])).round(4)
    array([0.5   , 1.0852])
    """


@operation(ACTIVATIONS["silu"])
def silu(x: Any, *, out: Any = None) -> Any:
    """Sigmoid linear unit, also called swish: x `sigmoid`(x).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN, and -infinity gives NaN, as in PyTorch.

    References
    ----------
    P. Ramachandran, B. Zoph, Q. Le: Searching for activation functions, 2017.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.silu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.2689,  0.    ,  1.7616])
    """


@operation(ACTIVATIONS["silu_backward"])
def silu_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `silu`: (s + x s (1 - s)) dy of s = `sigmoid`(x).

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `silu`. Any strides.
    x : array of any shape, any floating dtype
        What `silu` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        NaN where x is NaN or infinite, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.silu_backward(np.ones(2), np.array([0.0, 2.0])).round(4)
    array([0.5   , 1.0908])
    """


@operation(ACTIVATIONS["mish"])
def mish(x: Any, *, out: Any = None) -> Any:
    """x tanh(`softplus`(x)).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN, and -infinity gives NaN, as in PyTorch.

    References
    ----------
    D. Misra: Mish, a self regularized non-monotonic activation function, BMVC 2020.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mish(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.3034,  0.    ,  1.944 ])
    """


@operation(ACTIVATIONS["mish_backward"])
def mish_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `mish`: (t + x t') dy of t = tanh(`softplus`(x)).

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `mish`. Any strides.
    x : array of any shape, any floating dtype
        What `mish` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        NaN where x is NaN or infinite, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mish_backward(np.ones(2), np.array([0.0, 2.0])).round(4)
    array([0.6   , 1.0693])
    """
