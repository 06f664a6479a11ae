"""Operations without a window: matrix product, softmax and its loss."""

from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.cases import GemmCase, RowsCase, Shape
from pycnn.bench.operations.base import (
    FORWARD,
    Algorithm,
    Arrays,
    Check,
    Operation,
    Spec,
    by_entry,
    normal,
)
from pycnn.plan.gemm import algorithms as rungs
from pycnn.reference.oracle import gemm, loss, softmax


class Gemm(Operation):
    """`pycnn.gemm` as a fully connected layer; backward is two products of the same kind."""

    name = "gemm"
    case = GemmCase
    directions = (FORWARD,)

    def input_specs(self, case: GemmCase, direction: str) -> dict[str, Spec]:
        return {"a": ((case.m, case.k), None), "b": ((case.n, case.k), None)}

    def output_shapes(self, case: GemmCase, direction: str) -> dict[str, Shape]:
        return {"y": (case.m, case.n)}

    def flops(self, case: GemmCase, direction: str) -> int:
        return 2 * case.m * case.n * case.k

    def algorithms(self, case: GemmCase, direction: str, dtype: str) -> list[Algorithm]:
        return [Algorithm(rung) for rung in rungs]

    def run(self, case: GemmCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        return {"y": pycnn.gemm(arrays["a"], arrays["b"], transpose_b=True, algo=algo)}

    def checks(self, case: GemmCase, direction: str, arrays: Arrays) -> list[Check]:
        def forward(part: Arrays) -> dict[str, np.ndarray]:
            return {"y": gemm.gemm(part["a"], part["b"], transpose_b=True)}

        return by_entry(arrays, ("b",), case.k, forward)

    def torch(
        self, case: GemmCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        return lambda: {"y": torch.nn.functional.linear(tensors["a"], tensors["b"])}

    def onnx_node(self, case: GemmCase) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return "Gemm", ("a", "b"), {"transB": 1}


class Softmax(Operation):
    """`pycnn.softmax` and `pycnn.softmax_backward` along rows."""

    name = "softmax"
    case = RowsCase

    def input_specs(self, case: RowsCase, direction: str) -> dict[str, Spec]:
        shape = (case.n, case.c)
        if direction == FORWARD:
            return {"x": (shape, None)}
        return {"dy": (shape, None), "y": (shape, None)}

    def inputs(
        self, case: RowsCase, direction: str, dtype: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        x = normal(rng, (case.n, case.c), dtype)
        if direction == FORWARD:
            return {"x": x}
        return {"dy": normal(rng, x.shape, dtype), "y": softmax.softmax(x, 1).astype(dtype)}

    def output_shapes(self, case: RowsCase, direction: str) -> dict[str, Shape]:
        return {"y" if direction == FORWARD else "dx": (case.n, case.c)}

    def flops(self, case: RowsCase, direction: str) -> int:
        """Forward compare, subtract, exp, add, divide; backward two products, add, subtract."""
        return (5 if direction == FORWARD else 4) * case.n * case.c

    def run(self, case: RowsCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        if direction == FORWARD:
            return {"y": pycnn.softmax(arrays["x"], axis=1)}
        return {"dx": pycnn.softmax_backward(arrays["dy"], arrays["y"], axis=1)}

    def checks(self, case: RowsCase, direction: str, arrays: Arrays) -> list[Check]:
        if direction == FORWARD:
            return by_entry(arrays, (), case.c, lambda part: {"y": softmax.softmax(part["x"], 1)})
        return by_entry(
            arrays, (), case.c,
            lambda part: {"dx": softmax.softmax_backward(part["dy"], part["y"], 1)},
        )  # fmt: skip

    def torch(
        self, case: RowsCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        if direction == FORWARD:
            return lambda: {"y": torch.softmax(tensors["x"], 1)}
        dy, y = tensors["dy"], tensors["y"]
        return lambda: {"dx": torch.ops.aten._softmax_backward_data(dy, y, 1, dy.dtype)}

    def onnx_node(self, case: RowsCase) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return "Softmax", ("x",), {"axis": 1}


class CrossEntropy(Operation):
    """`pycnn.cross_entropy` and `pycnn.cross_entropy_backward` with the mean over rows."""

    name = "cross_entropy"
    case = RowsCase

    def input_specs(self, case: RowsCase, direction: str) -> dict[str, Spec]:
        specs: dict[str, Spec] = {
            "logits": ((case.n, case.c), None),
            "target": ((case.n,), "int64"),
        }
        return specs if direction == FORWARD else {"dy": ((), None), **specs}

    def inputs(
        self, case: RowsCase, direction: str, dtype: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        arrays = {
            "logits": normal(rng, (case.n, case.c), dtype),
            "target": rng.integers(0, case.c, case.n),
        }
        return arrays if direction == FORWARD else {"dy": np.ones((), dtype), **arrays}

    def output_shapes(self, case: RowsCase, direction: str) -> dict[str, Shape]:
        return {"loss": ()} if direction == FORWARD else {"dlogits": (case.n, case.c)}

    def flops(self, case: RowsCase, direction: str) -> int:
        """Compare, subtract, exp and add an element; backward divides and scales as well."""
        return (4 if direction == FORWARD else 6) * case.n * case.c

    def run(self, case: RowsCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        logits, target = arrays["logits"], arrays["target"]
        if direction == FORWARD:
            return {"loss": pycnn.cross_entropy(logits, target)}
        return {"dlogits": pycnn.cross_entropy_backward(arrays["dy"], logits, target)}

    def checks(self, case: RowsCase, direction: str, arrays: Arrays) -> list[Check]:
        settings = (arrays["logits"], arrays["target"], None, -100, "mean", 0.0)
        if direction == FORWARD:
            return [Check("loss", loss.cross_entropy(*settings), case.n + case.c)]
        expected = loss.cross_entropy_backward(arrays["dy"], *settings)
        return [Check("dlogits", expected, case.c)]

    def torch(
        self, case: RowsCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        logits, target = tensors["logits"], tensors["target"]
        if direction == FORWARD:
            return lambda: {"loss": torch.nn.functional.cross_entropy(logits, target)}
        # PyTorch keeps the log-softmax of forward, so it is not counted here.
        aten, dy = torch.ops.aten, tensors["dy"]
        log_p = torch.log_softmax(logits, 1)
        _, total = aten.nll_loss_forward(log_p, target, None, 1, -100)

        def call() -> dict[str, Any]:
            dlog_p = aten.nll_loss_backward(dy, log_p, target, None, 1, -100, total)
            return {"dlogits": aten._log_softmax_backward_data(dlog_p, log_p, 1, dy.dtype)}

        return call
