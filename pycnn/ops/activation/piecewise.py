"""Activations made of straight lines and parabolas, and their gradients."""

from typing import Any

from pycnn.define.activation import ACTIVATIONS
from pycnn.define.public import operation


@operation(ACTIVATIONS["relu"])
def relu(x: Any, *, out: Any = None) -> Any:
    """Rectified linear unit: max(x, 0), element by element.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN, as in PyTorch.

    References
    ----------
    V. Nair, G. Hinton: Rectified linear units improve restricted Boltzmann machines, ICML 2010.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.relu(np.array([-1.5, 0.0, 2.5]))
    array([0. , 0. , 2.5])
    """


@operation(ACTIVATIONS["relu_backward"])
def relu_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `relu`: dy where x > 0, else zero.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `relu`. Any strides.
    x : array of any shape, any floating dtype
        What `relu` was given. Its result serves as well.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.relu_backward(np.array([7.0, 8.0, 9.0]), np.array([-1.5, 0.0, 2.5]))
    array([0., 0., 9.])
    """


@operation(ACTIVATIONS["leaky_relu"])
def leaky_relu(x: Any, negative_slope: float = 0.01, *, out: Any = None) -> Any:
    """Rectified linear unit with a slope below zero: x if x > 0, else `negative_slope` x.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    negative_slope : float, default 0.01
        Finite.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    A. Maas, A. Hannun, A. Ng: Rectifier nonlinearities improve neural network acoustic models,
    ICML 2013.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.leaky_relu(np.array([-2.0, 3.0]), 0.25)
    array([-0.5,  3. ])
    """


@operation(ACTIVATIONS["leaky_relu_backward"])
def leaky_relu_backward(dy: Any, x: Any, negative_slope: float = 0.01, *, out: Any = None) -> Any:
    """Gradient of `leaky_relu`: dy where x > 0, else `negative_slope` dy.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `leaky_relu`. Any strides.
    x : array of any shape, any floating dtype
        What `leaky_relu` was given.
    negative_slope
        As `leaky_relu` was given it.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.leaky_relu_backward(np.array([8.0, 9.0]), np.array([-2.0, 3.0]), 0.25)
    array([2., 9.])
    """


@operation(ACTIVATIONS["hardsigmoid"])
def hardsigmoid(x: Any, *, out: Any = None) -> Any:
    """Piecewise linear form of `sigmoid`: min(max(x + 3, 0), 6) / 6.

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
    A. Howard et al.: Searching for MobileNetV3, ICCV 2019.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """


@operation(ACTIVATIONS["hardsigmoid_backward"])
def hardsigmoid_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `hardsigmoid`: dy / 6 where -3 < x < 3, else zero.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `hardsigmoid`. Any strides.
    x : array of any shape, any floating dtype
        What `hardsigmoid` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, zero, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.hardsigmoid_backward(np.array([6.0, 6.0]), np.array([-4.0, 0.0]))
    array([0., 1.])
    """


@operation(ACTIVATIONS["hardswish"])
def hardswish(x: Any, *, out: Any = None) -> Any:
    """Piecewise form of `silu`: x times `hardsigmoid`(x).

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
    A. Howard et al.: Searching for MobileNetV3, ICCV 2019.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.hardswish(np.array([-4.0, 1.5, 4.0]))
    array([-0.   ,  1.125,  4.   ])
    """


@operation(ACTIVATIONS["hardswish_backward"])
def hardswish_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `hardswish`: 0 where x <= -3, (x / 3 + 1/2) dy where x < 3, else dy.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `hardswish`. Any strides.
    x : array of any shape, any floating dtype
        What `hardswish` was given.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.hardswish_backward(np.array([7.0, 8.0, 9.0]), np.array([-4.0, 1.5, 4.0]))
    array([0., 8., 9.])
    """
