"""Definitions of dropout, of elements and of whole channels."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, integer, number
from pycnn.define.views import View
from pycnn.plan import dropout as plans
from pycnn.plan.dropout import Mask
from pycnn.reference.cpu import dropout as cpu
from pycnn.runtime.plan import Plan
from pycnn.runtime.random import LIMIT, next_mask


def mask(span: int, p: Any, training: Any, seed: Any, offset: Any) -> Mask:
    """The settings, checked; where nothing is dropped, everything is multiplied by one."""
    p, training = number("p", p, 0.0, 1.0), boolean("training", training)
    for name, value in (("seed", seed), ("offset", offset)):
        integer(name, value, 0, LIMIT)
    if not training:
        p = 0.0
    return Mask(int(seed), int(offset), round(p * 2**32), 1 / (1 - p) if p < 1 else 0.0, span)


class _Drops(Operation):
    """What an array has left when numbers are dropped."""

    family = "elementwise"
    features = False

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        shape = next(iter(views.values())).shape
        span = max(1, prod(shape[2:])) if self.features else 1
        return mask(span, **vars(args)), {self._names[1]: (shape, None)}

    def plan(self, call: Call) -> Plan:
        view = call.views[self._names[0]]
        return plans.dropout(
            self.name, view.shape, view.strides, call.settings, call.dtype, self._names
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        source, target = self._names
        return {target: cpu.dropout(arrays[source], out=out, **vars(call.settings))}

    def flops(self, call: Call) -> int:
        return prod(call.views[self._names[0]].shape)

    @property
    def _names(self) -> tuple[str, str]:
        """Of what goes in and what comes out."""
        return "x", "y"


class Dropout(_Drops):
    """Elements are zero with probability p, the others divided by 1 - p."""

    name = "dropout"
    operands = (Operand("x"),)
    in_place = ("x",)

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> Any:
        """Without a seed, by the next one of `manual_seed`."""
        if settings["seed"] is None:
            if settings["offset"] != 0:
                raise ValueError(f"offset={settings['offset']!r} without seed; allowed: with one")
            drawn = next_mask() if settings["training"] is True else (0, 0)
            settings["seed"], settings["offset"] = drawn
        return super().run(arrays, out, **settings)


class Dropout2d(Dropout):
    """Channels are zero with probability p, the others divided by 1 - p."""

    name = "dropout2d"
    operands = (Operand("x", "(N, C, H, W)", (4,)),)
    features = True


class _DropoutGradient(_Drops, Gradient):
    in_place = ("dy",)

    @property
    def _names(self) -> tuple[str, str]:
        return "dy", "dx"


class DropoutBackward(_DropoutGradient):
    """dy with the same elements dropped: the mask is drawn again."""

    name = "dropout_backward"
    forward = Dropout()
    operands = (Operand("dy"),)


class Dropout2dBackward(_DropoutGradient):
    """dy with the same channels dropped: the mask is drawn again."""

    name = "dropout2d_backward"
    forward = Dropout2d()
    operands = (Operand("dy", "(N, C, H, W)", (4,)),)
    features = True


DROPOUT_BACKWARD, DROPOUT2D_BACKWARD = DropoutBackward(), Dropout2dBackward()
DROPOUT, DROPOUT2D = DROPOUT_BACKWARD.forward, DROPOUT2D_BACKWARD.forward

DEFINITIONS = (DROPOUT, DROPOUT_BACKWARD, DROPOUT2D, DROPOUT2D_BACKWARD)
