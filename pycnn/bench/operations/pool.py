"""Maximum and average pooling, forward and backward."""

from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.cases import PoolCase, Shape
from pycnn.bench.operations.base import (
    FORWARD,
    Arrays,
    Check,
    Operation,
    Spec,
    by_entry,
    normal,
)
from pycnn.define.validate import Padding, Pair
from pycnn.reference.oracle import pool as oracle


class _Pool(Operation):
    case = PoolCase

    def output_shapes(self, case: PoolCase, direction: str) -> dict[str, Shape]:
        return {"y": case.y_shape} if direction == FORWARD else {"dx": case.x_shape}

    def flops(self, case: PoolCase, direction: str) -> int:
        """One addition or comparison for each element of each window."""
        return case.n * case.c * case.p * case.q * case.r * case.s


class MaxPool2d(_Pool):
    """`pycnn.max_pool2d` and `pycnn.max_pool2d_backward`."""

    name = "max_pool2d"

    def input_specs(self, case: PoolCase, direction: str) -> dict[str, Spec]:
        if direction == FORWARD:
            return {"x": (case.x_shape, None)}
        return {"dy": (case.y_shape, None), "indices": (case.y_shape, "int64")}

    def inputs(
        self, case: PoolCase, direction: str, dtype: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        x = normal(rng, case.x_shape, dtype)
        if direction == FORWARD:
            return {"x": x}
        with pycnn.use_backend("reference"):
            y, indices = pycnn.max_pool2d(x, *_window(case), 1, case.ceil_mode, True)
        return {"dy": normal(rng, y.shape, dtype), "indices": indices}

    def run(self, case: PoolCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        if direction == FORWARD:
            return {"y": pycnn.max_pool2d(arrays["x"], *_window(case), 1, case.ceil_mode)}
        dx = pycnn.max_pool2d_backward(
            arrays["dy"], arrays["indices"], case.x_shape, *_window(case), 1, case.ceil_mode
        )
        return {"dx": dx}

    def checks(self, case: PoolCase, direction: str, arrays: Arrays) -> list[Check]:
        def forward(part: Arrays) -> dict[str, np.ndarray]:
            return {"y": oracle.max_pool2d(part["x"], *_sides(case), (1, 1), case.ceil_mode)[0]}

        def backward(part: Arrays) -> dict[str, np.ndarray]:
            shape = (len(part["dy"]), *case.x_shape[1:])
            return {"dx": oracle.max_pool2d_backward(part["dy"], part["indices"], shape)}

        if direction == FORWARD:
            return by_entry(arrays, (), 1, forward)
        return by_entry(arrays, (), case.r * case.s, backward)

    def torch(
        self, case: PoolCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        settings = (*_window(case), (1, 1), case.ceil_mode)
        if direction == FORWARD:
            return lambda: {"y": torch.nn.functional.max_pool2d(tensors["x"], *settings)}
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        dy, indices = tensors["dy"], tensors["indices"]
        like_x = dy.new_empty(case.x_shape)  # its shape alone matters
        return lambda: {"dx": backward(dy, like_x, *settings, indices)}

    def onnx_node(self, case: PoolCase) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return "MaxPool", ("x",), _onnx_attributes(case)


class AvgPool2d(_Pool):
    """`pycnn.avg_pool2d` and `pycnn.avg_pool2d_backward`."""

    name = "avg_pool2d"

    def input_specs(self, case: PoolCase, direction: str) -> dict[str, Spec]:
        return {"x": (case.x_shape, None)} if direction == FORWARD else {"dy": (case.y_shape, None)}

    def run(self, case: PoolCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        if direction == FORWARD:
            return {"y": pycnn.avg_pool2d(arrays["x"], *_window(case), case.ceil_mode)}
        dx = pycnn.avg_pool2d_backward(arrays["dy"], case.x_shape, *_window(case), case.ceil_mode)
        return {"dx": dx}

    def checks(self, case: PoolCase, direction: str, arrays: Arrays) -> list[Check]:
        settings = (*_sides(case), case.ceil_mode, True, None)

        def forward(part: Arrays) -> dict[str, np.ndarray]:
            return {"y": oracle.avg_pool2d(part["x"], *settings)}

        def backward(part: Arrays) -> dict[str, np.ndarray]:
            shape = (len(part["dy"]), *case.x_shape[1:])
            return {"dx": oracle.avg_pool2d_backward(part["dy"], shape, *settings)}

        return by_entry(arrays, (), case.r * case.s, forward if direction == FORWARD else backward)

    def torch(
        self, case: PoolCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        settings = (*_window(case), case.ceil_mode, True, None)
        if direction == FORWARD:
            return lambda: {"y": torch.nn.functional.avg_pool2d(tensors["x"], *settings)}
        backward, dy = torch.ops.aten.avg_pool2d_backward, tensors["dy"]
        like_x = dy.new_empty(case.x_shape)  # its shape alone matters
        return lambda: {"dx": backward(dy, like_x, *settings)}

    def onnx_node(self, case: PoolCase) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return "AveragePool", ("x",), {**_onnx_attributes(case), "count_include_pad": 1}


def _window(case: PoolCase) -> tuple[Pair, Pair, Pair]:
    return (case.r, case.s), case.stride, case.pad


def _sides(case: PoolCase) -> tuple[Pair, Pair, Padding]:
    vertical, horizontal = case.pad
    return (case.r, case.s), case.stride, ((vertical, vertical), (horizontal, horizontal))


def _onnx_attributes(case: PoolCase) -> dict[str, Any]:
    return {
        "kernel_shape": (case.r, case.s),
        "strides": case.stride,
        "pads": (*case.pad, *case.pad),
        "ceil_mode": int(case.ceil_mode),
    }
