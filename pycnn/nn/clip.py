"""Gradients kept within bounds, before a step."""

import math
from typing import Any

import numpy as np

from pycnn.define.validate import ensure
from pycnn.nn.arrays import widened
from pycnn.nn.layer import Layer
from pycnn.nn.module import gradients_of


def checked_norm(name: str, norm: float | None) -> float:
    """The largest norm that gradients may have; infinity for None."""
    if norm is None:
        return math.inf
    ensure(name, norm, lambda n: n > 0, "positive numbers")
    return float(norm)


def clip_grad_norm(model: Layer, max_norm: float) -> float:
    """Scale all gradients so that their common Euclidean norm is at most `max_norm`.

    Returns
    -------
    float
        The norm before. Gradients that are not finite stay as they are.
    """
    ensure("max_norm", max_norm, lambda n: n > 0, "positive numbers")
    grads = [grad for _, grad in gradients_of(model)]
    total = _norm(grads)
    if total in (0.0, math.inf):  # so may squares be that are beyond the range of float64
        most = max((float(abs(g).max()) for g in grads if g.size), default=0.0)
        total = most * _norm(grads, most) if 0 < most < math.inf else total
    if max_norm < total < math.inf:
        for grad in grads:
            wide = widened(grad)
            grad[...] = wide * wide.dtype.type(max_norm / total)
    return total


def clip_grad_value(model: Layer, max_value: float) -> None:
    """Limit every element of the gradients to -`max_value` ... `max_value`."""
    ensure("max_value", max_value, lambda n: n > 0, "positive numbers")
    for parameter in model.parameters():
        if (grad := parameter.grad) is not None:
            grad.clip(-max_value, max_value, out=grad)


def _norm(grads: list[Any], unit: float = 1.0) -> float:
    """Of all together, in units."""
    with np.errstate(over="ignore", under="ignore"):
        return math.sqrt(sum(float(((g.astype("float64") / unit) ** 2).sum()) for g in grads))
