"""Definitions of the k largest elements along an axis, and of the gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, check_shape, integer, normalise_axis
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import topk as plans
from pycnn.reference.cpu import topk as cpu
from pycnn.reference.oracle import topk as oracle
from pycnn.runtime.plan import Plan

AXES = "one axis or more"
RANKS = tuple(range(1, 33))


@dataclass(frozen=True)
class Chosen:
    """Checked arguments: k and whether the largest, along an axis from the front."""

    k: int
    axis: int
    largest: bool
    shape: tuple[int, ...] = ()


class Topk(Operation):
    """The k largest or smallest elements along an axis, in order."""

    name = "topk"
    family = "topk"
    operands = (Operand("x", AXES, RANKS),)
    cases = (
        Case("rows", {"x": (7, 33)}, {"k": 5}),
        Case("vector", {"x": (5,)}, {"k": 5}),
        Case("smallest", {"x": (3, 301)}, {"k": 37, "largest": False}),
        Case("one", {"x": (3, 2, 1)}, {"k": 1}),
        Case("many", {"x": (2, 1503)}, {"k": 1023, "sorted": False}),
        Case("beyond shared memory", {"x": (1, 13001)}, {"k": 3}),
        Case("channels", {"x": (2, 21, 3, 5)}, {"k": 3, "axis": 1}),
        Case("empty", {"x": (0, 5)}, {"k": 2}),
        Case("imagenet scores", {"x": (64, 1000)}, {"k": 5}, standard=True),
    )

    def infer(
        self,
        views: Mapping[str, View],
        *,
        k: Any,
        axis: Any = -1,
        largest: Any = True,
        sorted: Any = True,
    ) -> Inferred:
        shape = views["x"].shape
        axis = normalise_axis("axis", axis, len(shape))
        boolean("sorted", sorted)
        k = integer("k", k, 1)
        if k > shape[axis]:
            raise ValueError(f"k={k}; allowed: 1 to {shape[axis]}, the extent of axis {axis} of x")
        result = (*shape[:axis], k, *shape[axis + 1 :])
        settings = Chosen(k, axis, boolean("largest", largest))
        return Inferred(settings, {"values": (result, None), "indices": (result, "int64")})

    def plan(self, call: Call) -> Plan:
        x, given = call.views["x"], call.settings
        return plans.topk(x.shape, x.strides, given.axis, call.dtype, given.k, given.largest)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        given = call.settings
        values, indices = cpu.topk(arrays["x"], given.k, given.axis, given.largest)
        return {"values": values, "indices": indices}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = call.settings
        values, indices = oracle.topk(arrays["x"], given.k, given.axis, given.largest)
        return {"values": values, "indices": indices}

    def flops(self, call: Call) -> int:
        """One comparison an element at least."""
        return prod(call.views["x"].shape)

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        options = {"dim": settings.get("axis", -1), "largest": settings.get("largest", True)}
        values, indices = torch.topk(tensors["x"], settings["k"], **options)
        return {"values": values, "indices": indices}


TOPK = Topk()


class TopkBackward(Gradient):
    """dy in the places of the chosen elements."""

    name = "topk_backward"
    family = "topk"
    forward = TOPK
    upstream = {"dy": "values"}  # noqa: RUF012
    operands = (Operand("dy", AXES, RANKS), Operand("indices", AXES, RANKS, dtypes=("int64",)))

    def settings(self, case: Case) -> dict[str, Any]:
        return {"shape": case.shapes["x"], "axis": case.settings.get("axis", -1)}

    def infer(self, views: Mapping[str, View], *, shape: Any, axis: Any = -1) -> Inferred:
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape={shape!r} is of type {type(shape).__name__}; allowed: tuple")
        shape = tuple(integer("shape", extent, 0) for extent in shape)
        dy = views["dy"]
        axis = normalise_axis("axis", axis, dy.rank)
        check_shape("indices", views["indices"].shape, dy.shape, "the shape of dy")
        k = dy.shape[axis]
        if len(shape) != dy.rank or k > shape[axis]:
            raise ValueError(
                f"shape={shape}; allowed: that of dy, {dy.shape}, with {k} or more along {axis}"
            )
        expected = (*shape[:axis], k, *shape[axis + 1 :])
        check_shape("dy", dy.shape, expected, "the shape with k along the axis")
        return Inferred(Chosen(k, axis, True, shape), {"dx": (shape, None)})

    def allowed(self, call: Call) -> dict[str, Allowed]:
        last = call.settings.shape[call.settings.axis] - 1
        return {"indices": Allowed(0, last, f"0 to {last}")}

    def plan(self, call: Call) -> Plan:
        given, views = call.settings, call.views
        strides = views["dy"].strides, views["indices"].strides
        return plans.topk_backward(given.shape, *strides, given.axis, call.dtype, given.k)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        given = arrays["dy"], arrays["indices"], call.settings.shape, call.settings.axis
        return {"dx": cpu.topk_backward(*given)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = arrays["dy"], arrays["indices"], call.settings.shape, call.settings.axis
        return {"dx": oracle.topk_backward(*given)}

    def flops(self, call: Call) -> int:
        return 0


TOPK_BACKWARD = TopkBackward()

DEFINITIONS = (TOPK, TOPK_BACKWARD)
