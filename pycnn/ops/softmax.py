"""Softmax and log-softmax: validate, plan, launch."""

from typing import Any

from pycnn.define import out as _out
from pycnn.define.validate import (
    DTYPE_NAMES,
    check_float,
    check_rank,
    check_shape,
    element_strides,
    normalise_axis,
)
from pycnn.plan import softmax as plans
from pycnn.reference.cpu import softmax as cpu
from pycnn.runtime.backends import backend_for, executor


def softmax(x: Any, axis: int = -1, *, out: Any = None) -> Any:
    """Softmax along one axis: exp(x) / sum(exp(x)), computed so that nothing overflows.

    Parameters
    ----------
    x : array of rank 1 or more, float32 or float64
        Any strides.
    axis : int, default -1
        Of any length; counted from the end if negative.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x
        Along the axis it sums to 1. Where `x` has a NaN, plus infinity, or minus infinity alone
        along the axis, all is NaN, as in PyTorch.

    Raises
    ------
    TypeError
        If `x` is no NumPy or CuPy array or has another dtype, or `axis` is no int.
    ValueError
        If `axis` is out of range, or `out` cannot take the result as it is.

    References
    ----------
    M. Milakov, N. Gimelshein: Online normalizer calculation for softmax, arXiv 1805.02867, 2018.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softmax(np.array([[1000.0, 1000.0], [0.0, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return _forward(x, axis, out, log=False)


def log_softmax(x: Any, axis: int = -1, *, out: Any = None) -> Any:
    """Logarithm of `softmax` along one axis: x - log(sum(exp(x))), with no overflow.

    Parameters
    ----------
    x, axis, out
        As for `softmax`.

    Returns
    -------
    array like x
        NaN in the same cases as `softmax`.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.log_softmax(np.array([[0.0, -1000.0]]))
    array([[    0., -1000.]])
    """
    return _forward(x, axis, out, log=True)


def softmax_backward(dy: Any, y: Any, axis: int = -1, *, out: Any = None) -> Any:
    """Gradient of `softmax`: y * (dy - sum(dy * y)) along the axis.

    Parameters
    ----------
    dy : array, float32 or float64
        Gradient with respect to `y`. Any strides.
    y : array of the same shape and dtype
        What `softmax` returned. Any strides.
    axis, out
        As for `softmax`.

    Returns
    -------
    array like y
        Gradient with respect to x.

    Raises
    ------
    TypeError, ValueError
        As `softmax`; also if the shapes differ.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    return _backward(dy, y, axis, out, log=False)


def log_softmax_backward(dy: Any, y: Any, axis: int = -1, *, out: Any = None) -> Any:
    """Gradient of `log_softmax`: dy - exp(y) * sum(dy) along the axis.

    Parameters
    ----------
    dy : array, float32 or float64
        Gradient with respect to `y`. Any strides.
    y : array of the same shape and dtype
        What `log_softmax` returned. Any strides.
    axis, out
        As for `softmax`.

    Returns
    -------
    array like y
        Gradient with respect to x.

    Raises
    ------
    TypeError, ValueError
        As `softmax`; also if the shapes differ.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.log_softmax_backward(np.array([1.0, 0.0]), np.log([0.5, 0.5]))
    array([ 0.5, -0.5])
    """
    return _backward(dy, y, axis, out, log=True)


_RANKS = range(1, 65)


def _forward(x: Any, axis: int, out: Any, log: bool) -> Any:
    backend = backend_for(x=x, out=out)
    dtype = check_float(x=x)
    check_rank("x", x, _RANKS, "one axis or more")
    axis = normalise_axis("axis", axis, x.ndim)
    strides = element_strides("x", x)
    _out.check(out, x.shape, dtype, x=x)
    if backend == "reference":
        function = cpu.log_softmax if log else cpu.softmax
        return function(x, axis, out=out)
    plan = plans.softmax(x.shape, strides, axis, DTYPE_NAMES[dtype], log)
    return executor(backend).run(plan, {"x": x}, _out.given("y", out))["y"]


def _backward(dy: Any, y: Any, axis: int, out: Any, log: bool) -> Any:
    backend = backend_for(dy=dy, y=y, out=out)
    dtype = check_float(dy=dy, y=y)
    check_rank("y", y, _RANKS, "one axis or more")
    check_shape("dy", dy.shape, y.shape, "the shape of y")
    axis = normalise_axis("axis", axis, y.ndim)
    strides = element_strides("dy", dy), element_strides("y", y)
    _out.check(out, y.shape, dtype, dy=dy, y=y)
    if backend == "reference":
        function = cpu.log_softmax_backward if log else cpu.softmax_backward
        return _out.store(function(dy, y, axis), out)
    plan = plans.softmax_backward(y.shape, *strides, axis, DTYPE_NAMES[dtype], log)
    return executor(backend).run(plan, {"dy": dy, "y": y}, _out.given("dx", out))["dx"]
