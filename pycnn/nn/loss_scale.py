"""A factor of the loss that keeps small gradients within the range of float16."""

import math
from typing import Any

from pycnn.define.validate import ensure, integer
from pycnn.nn.arrays import library, widened
from pycnn.nn.layer import Layer
from pycnn.nn.module import gradients_of

#: Scales below are none: a loss of 1 would be the smallest number of float16.
LEAST = 2.0**-24


def counts_as_kernel(scale: "LossScale") -> bool:
    """Whether it unscales as kernels/optim/gradients.cu does: not by a method of its own."""
    return type(scale).unscaled is LossScale.unscaled


class LossScale:
    """Multiplies a loss, and divides gradients again; follows what overflows.

    Where a gradient is not finite, the step is left out and the scale is halved; after `every`
    steps without one it is doubled.

    Parameters
    ----------
    scale : float, default 65536
        The first factor.
    every : int, default 2000
        Steps without an overflow until it is doubled.

    References
    ----------
    P. Micikevicius et al., "Mixed precision training", 2018, section 3.2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> from pycnn import nn
    >>> model, scale = nn.Linear(3, 2), nn.LossScale(1024.0)
    >>> with pycnn.grad("float16") as tape:
    ...     loss = nn.MSELoss()(model(np.ones((4, 3), np.float32)), np.ones((4, 2), np.float32))
    >>> tape.backward(loss * scale.scale)
    >>> scale.unscaled(model), model.grads["weight"].dtype.name
    (True, 'float32')
    """

    def __init__(self, scale: float = 65536.0, every: int = 2000) -> None:
        ensure("scale", scale, lambda s: 0 < s < math.inf, "positive numbers")
        integer("every", every, 1)
        self.scale, self.every, self.steps = float(scale), every, 0

    def unscaled(self, model: Layer) -> bool:
        """Divide all gradients; whether all are finite, so that the optimiser may step.

        Raises
        ------
        ValueError
            If they are not finite at a scale at which nothing overflows any more.
        """
        grads = [grad for _, grad in gradients_of(model)]
        finite = all(bool(library(g).isfinite(g).all()) for g in grads)
        if not finite:
            self.take(self.scale / 2, 0)
            return False
        for grad in grads:
            wide = widened(grad)
            grad[...] = wide / wide.dtype.type(self.scale)
        self.steps += 1
        if self.steps % self.every == 0:
            self.scale *= 2
        return True

    def numbers(self) -> tuple[float, float]:
        """Scale and steps, as a kernel counts on from them."""
        return self.scale, float(self.steps)

    def take(self, scale: float, steps: float) -> None:
        """Go on from these.

        Raises
        ------
        ValueError
            As of `unscaled`.
        """
        self.scale, self.steps = scale, int(steps)
        if scale < LEAST:
            raise ValueError(
                f"gradients are not finite at scale {scale}; allowed: finite ones, for it is not "
                "the scale that makes them so"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        return {"scale": self.scale, "steps": self.steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.scale, self.steps = float(state["scale"]), int(state["steps"])


def check_scale(scale: Any) -> None:
    if scale is not None and not isinstance(scale, LossScale):
        raise TypeError(
            f"scale is of type {type(scale).__name__}; allowed: a pycnn.nn.LossScale, whose number "
            "the loss was multiplied by"
        )
