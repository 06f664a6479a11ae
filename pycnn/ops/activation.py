"""Activations: validate, plan, launch."""

from typing import Any

from pycnn.ops import _out
from pycnn.ops._validate import DTYPE_NAMES, check_float, check_shape, element_strides
from pycnn.plan import activation as plans
from pycnn.reference.cpu import activation as cpu
from pycnn.runtime.backends import backend_for, executor


def relu(x: Any, *, out: Any = None) -> Any:
    """Rectified linear unit: max(x, 0), element by element.

    Parameters
    ----------
    x : array of any shape, float32 or float64
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
    backend = backend_for(x=x, out=out)
    dtype = check_float(x=x)
    strides = element_strides("x", x)
    _out.check(out, x.shape, dtype, x=None if _out.same_view(x, out) else x)
    if backend == "reference":
        return _out.store(cpu.relu(x, out=out), out)
    plan = plans.relu(x.shape, strides, DTYPE_NAMES[dtype])
    return executor(backend).run(plan, {"x": x}, _out.given("y", out))["y"]


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
    backend = backend_for(dy=dy, x=x, out=out)
    dtype = check_float(dy=dy, x=x)
    check_shape("dy", dy.shape, x.shape, "the shape of x")
    strides = element_strides("dy", dy), element_strides("x", x)
    inputs = {"dy": dy, "x": x}
    others = {name: a for name, a in inputs.items() if not _out.same_view(a, out)}
    _out.check(out, x.shape, dtype, **others)
    if backend == "reference":
        return _out.store(cpu.relu_backward(dy, x, out=out), out)
    plan = plans.relu_backward(x.shape, *strides, DTYPE_NAMES[dtype])
    return executor(backend).run(plan, inputs, _out.given("dx", out))["dx"]
