"""Activations that keep x between two bounds, and their gradients."""

from typing import Any

from pycnn.define.activation import ACTIVATIONS
from pycnn.define.public import operation


@operation(ACTIVATIONS["relu6"])
def relu6(x: Any, *, out: Any = None) -> Any:
    """Rectified linear unit that ends at 6: min(max(x, 0), 6).

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
    A. Krizhevsky: Convolutional deep belief networks on CIFAR-10, 2010.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.relu6(np.array([-1.5, 2.5, 8.0]))
    array([0. , 2.5, 6. ])
    """


@operation(ACTIVATIONS["relu6_backward"])
def relu6_backward(dy: Any, x: Any, *, out: Any = None) -> Any:
    """Gradient of `relu6`: dy where 0 < x < 6, else zero.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `relu6`. Any strides.
    x : array of any shape, any floating dtype
        What `relu6` was given. Its result serves as well.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.relu6_backward(np.array([7.0, 8.0, 9.0]), np.array([-1.5, 2.5, 8.0]))
    array([0., 8., 0.])
    """


@operation(ACTIVATIONS["clip"])
def clip(x: Any, min: float | None = None, max: float | None = None, *, out: Any = None) -> Any:
    """Values limited to an interval: min(max(x, `min`), `max`), PyTorch's clamp.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    min, max : float, default None
        The bounds, which may be infinite; None for none. Without both, nothing is changed.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        `max` where `min` > `max`. A NaN stays NaN.

    References
    ----------
    The definition; NumPy and ONNX call it clip, PyTorch clamp.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.clip(np.array([-2.0, 0.5, 9.0]), -1, 1)
    array([-1. ,  0.5,  1. ])
    """


@operation(ACTIVATIONS["clip_backward"])
def clip_backward(
    dy: Any, x: Any, min: float | None = None, max: float | None = None, *, out: Any = None
) -> Any:
    """Gradient of `clip`: dy where `min` <= x <= `max`, the bounds included, else zero.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `clip`. Any strides.
    x : array of any shape, any floating dtype
        What `clip` was given.
    min, max
        As `clip` was given them.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, zero, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.clip_backward(np.array([7.0, 8.0, 9.0]), np.array([-2.0, 1.0, 9.0]), -1, 1)
    array([0., 8., 0.])
    """


@operation(ACTIVATIONS["hardtanh"])
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0, *, out: Any = None) -> Any:
    """A line between two bounds: min(max(x, `min_val`), `max_val`).

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    min_val, max_val : float, default -1 and 1
        Finite, `min_val` below `max_val`.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `x` itself.

    Returns
    -------
    array like x
        A NaN stays NaN.

    References
    ----------
    R. Collobert: Large scale machine learning, thesis, Paris 6, 2004.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.hardtanh(np.array([-2.0, 0.5, 9.0]))
    array([-1. ,  0.5,  1. ])
    """


@operation(ACTIVATIONS["hardtanh_backward"])
def hardtanh_backward(
    dy: Any, x: Any, min_val: float = -1.0, max_val: float = 1.0, *, out: Any = None
) -> Any:
    """Gradient of `hardtanh`: dy where `min_val` < x < `max_val`, zero at the bounds and beyond.

    Parameters
    ----------
    dy : array of the shape and dtype of x
        Gradient with respect to the result of `hardtanh`. Any strides.
    x : array of any shape, any floating dtype
        What `hardtanh` was given. Its result serves as well.
    min_val, max_val
        As `hardtanh` was given them.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`. May be `dy` or `x` itself.

    Returns
    -------
    array like x
        Where x is NaN, dy, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.hardtanh_backward(np.array([7.0, 8.0, 9.0]), np.array([-1.0, 0.5, 9.0]))
    array([0., 8., 0.])
    """
