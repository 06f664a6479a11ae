"""Activations and their gradients."""

from typing import Any

from pycnn.define.activation import RELU, RELU_BACKWARD


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

    Raises
    ------
    TypeError
        If `x` is no NumPy or CuPy array or has another dtype, or `out` another one than `x`.
    ValueError
        If `out` cannot take the result as it is.

    References
    ----------
    V. Nair, G. Hinton: Rectified linear units improve restricted Boltzmann machines, ICML 2010.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.relu(np.array([-1.5, 0.0, 2.5]))
    array([0. , 0. , 2.5])
    """
    return RELU.run({"x": x}, out)[0]


def relu_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `relu`: dy where x > 0, else zero.

    Parameters
    ----------
    dy : array, float32 or float64
        Gradient with respect to the result of `relu`. Any strides.
    x : array of the same shape and dtype
        What `relu` was given; its result serves as well.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        As `relu`; also if the shapes differ.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.relu_backward(np.array([7.0, 8.0, 9.0]), np.array([-1.5, 0.0, 2.5]))
    array([0., 0., 9.])
    """
    return RELU_BACKWARD.run({"dy": dy, "x": x}, out)[0]
