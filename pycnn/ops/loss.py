"""Losses: validate, plan, launch."""

import math
import numbers
from typing import Any

import numpy as np

from pycnn.define import out as _out
from pycnn.define.validate import (
    DTYPE_NAMES,
    check_float,
    check_rank,
    check_shape,
    choice,
    element_strides,
    integer,
)
from pycnn.plan import loss as plans
from pycnn.plan.loss import CrossEntropy
from pycnn.reference.cpu import loss as cpu
from pycnn.runtime.backends import backend_for, executor

_RANKS = range(1, 65)


def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    out: Any = None,
) -> Any:
    """Softmax cross-entropy of class indices, straight from the logits.

    With t the target of a position, q the log-softmax of its logits, e the label smoothing and w
    the class weights, the position costs ``-(1 - e) w[t] q[t] - e / C sum_c w[c] q[c]``.

    Parameters
    ----------
    logits : array (C,), (N, C) or (N, C, d1, ...), float32 or float64
        Any strides. C is at least 1.
    target : array (), (N,) or (N, d1, ...), int64
        Class of every position. Any strides.
    weight : array (C,), optional
        Weight of every class, of the logits' dtype; one each by default.
    ignore_index : int, default -100
        A target of this value costs nothing and has no gradient, whatever its logits.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean is weighted: the sum of the costs over the sum of w[t] of the positions that are
        not ignored. It is NaN where there are none.
    label_smoothing : float, default 0.0
        Share of the target that is spread evenly over all classes, 0 to 1.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array
        Of shape (); with reduction "none", of the shape of `target`.

    Raises
    ------
    TypeError
        If arrays are not all NumPy's or all CuPy's, or a dtype or type is another one.
    ValueError
        If shapes do not fit together, a parameter is out of range, or `out` cannot take the
        result. A target that is neither a class nor `ignore_index` is refused before anything
        runs; for CuPy arrays this check waits for the device.

    Notes
    -----
    Deterministic: sums are formed in two stages, in an order that depends on the shape alone.

    References
    ----------
    M. Milakov, N. Gimelshein: Online normalizer calculation for softmax, arXiv 1805.02867, 2018.
    C. Szegedy et al.: Rethinking the Inception architecture for computer vision, CVPR 2016,
    section 7 (label smoothing).

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> logits = np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    >>> cost = pycnn.cross_entropy(logits, np.array([1, 1]), reduction="none")
    >>> np.exp(-cost)
    array([0.25, 0.75])
    """
    backend = backend_for(logits=logits, target=target, weight=weight, out=out)
    problem, arrays = _validate(logits, target, weight, ignore_index, reduction, label_smoothing)
    reduced = problem.reduction != "none"
    shape = () if reduced else target.shape
    _out.check(out, shape, logits.dtype, logits=logits, target=target, weight=weight)
    if backend == "reference":
        return _out.store(cpu.cross_entropy(logits, target, weight, *_parameters(problem)), out)
    flat = out if out is None or reduced else out.reshape(problem.positions)
    plan = plans.cross_entropy(problem)
    loss = executor(backend).run(plan, arrays, _out.given("loss", flat))["loss"]
    if reduced and target.size == 0:  # the sum over nothing takes no launch
        loss.fill(0 if problem.reduction == "sum" else math.nan)
    return loss.reshape(shape) if out is None else out


def cross_entropy_backward(
    dy: Any,
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    out: Any = None,
) -> Any:
    """Gradient of `cross_entropy` with respect to the logits.

    Parameters
    ----------
    dy : array, dtype of the logits
        Gradient with respect to the loss: shape (), or that of `target` with reduction "none".
    logits, target, weight, ignore_index, reduction, label_smoothing
        As given to `cross_entropy`.
    out : array, optional
        Takes the result: contiguous, shape of `logits`, memory of its own.

    Returns
    -------
    array like logits

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; also if the shape of `dy` is another one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> logits = np.log([[0.5, 0.25, 0.25]])
    >>> pycnn.cross_entropy_backward(np.array(1.0), logits, np.array([1]))
    array([[ 0.5 , -0.75,  0.25]])
    """
    backend = backend_for(dy=dy, logits=logits, target=target, weight=weight, out=out)
    problem, arrays = _validate(logits, target, weight, ignore_index, reduction, label_smoothing)
    check_float(logits=logits, dy=dy)
    meaning = "that of the loss"
    check_shape("dy", dy.shape, target.shape if reduction == "none" else (), meaning)
    inputs = {"dy": dy, "logits": logits, "target": target, "weight": weight}
    _out.check(out, logits.shape, logits.dtype, **inputs)
    if backend == "reference":
        arguments = (logits, target, weight, *_parameters(problem))
        return _out.store(cpu.cross_entropy_backward(dy, *arguments), out)
    if dy.ndim == 0 and reduction == "none":
        dy = dy[None]
    arrays["dy"] = dy
    flat = out if out is None else out.reshape(problem.shape)
    plan = plans.cross_entropy_backward(problem, element_strides("dy", dy))
    dlogits = executor(backend).run(plan, arrays, _out.given("dlogits", flat))["dlogits"]
    return dlogits.reshape(logits.shape) if out is None else out


def _validate(
    logits: Any,
    target: Any,
    weight: Any,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
) -> tuple[CrossEntropy, dict[str, Any]]:
    """The problem, and its arrays with an axis for the batch."""
    dtype = check_float(logits=logits, weight=weight)
    check_rank("logits", logits, _RANKS, "(C,), (N, C) or (N, C, d1, ...)")
    if target.dtype != np.int64:
        raise TypeError(f"target has dtype {target.dtype}; allowed: int64")
    batched = logits.ndim > 1
    classes = logits.shape[1 if batched else 0]
    if classes == 0:
        raise ValueError(f"logits has shape {logits.shape}; allowed: at least one class")
    expected = logits.shape[:1] + logits.shape[2:] if batched else ()
    check_shape("target", target.shape, expected, "that of logits without the class axis")
    if weight is not None:
        check_shape("weight", weight.shape, (classes,), "one for every class of logits")
    ignored = integer("ignore_index", ignore_index, -(2**63))
    choice("reduction", reduction, ("none", "sum", "mean"))
    smoothing = _fraction("label_smoothing", label_smoothing)
    _check_target(target, classes, ignored)
    if not batched:
        logits, target = logits[None], target[None]
    arrays = {"logits": logits, "target": target}
    if weight is not None:
        arrays["weight"] = weight
    strides = {name: element_strides(name, array) for name, array in arrays.items()}
    problem = CrossEntropy(
        logits.shape,
        strides["logits"],
        strides["target"],
        None if weight is None else strides["weight"][0],
        DTYPE_NAMES[dtype],
        ignored,
        reduction,
        smoothing,
    )
    return problem, arrays


def _check_target(target: Any, classes: int, ignored: int) -> None:
    """Every target is a class or ignored. Waits for the device where the array is CuPy's."""
    wrong = ((target < 0) | (target >= classes)) & (target != ignored)
    if wrong.any():
        value = int(target.reshape(-1)[wrong.reshape(-1)][0])
        raise ValueError(
            f"target holds {value}; allowed: 0 to {classes - 1}, and ignore_index={ignored}"
        )


def _fraction(name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; allowed: float")
    fraction = float(value)
    if not 0.0 <= fraction <= 1.0:  # NaN is refused too
        raise ValueError(f"{name}={value!r}; allowed: 0 to 1")
    return fraction


def _parameters(problem: CrossEntropy) -> tuple[Any, ...]:
    """What comes after the arrays in the reference's functions."""
    return problem.ignore_index, problem.reduction, problem.label_smoothing
