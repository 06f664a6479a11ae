"""Operations without a window: matrix product, softmax and its loss."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.cases import GemmCase, RowsCase, Shape
from pycnn.bench.expected import recalled
from pycnn.bench.operations.base import (
    FORWARD,
    Algorithm,
    Arrays,
    Check,
    Operation,
    Spec,
    by_entry,
)
from pycnn.bench.operations.defined import Defined
from pycnn.plan.gemm import algorithms_of
from pycnn.reference.oracle import gemm
from pycnn.testing.case import Case


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
        return [Algorithm(name) for name in algorithms_of(dtype)]

    def run(self, case: GemmCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        return {"y": pycnn.gemm(arrays["a"], arrays["b"], transpose_b=True, algo=algo)}

    def checks(self, case: GemmCase, direction: str, arrays: Arrays) -> list[Check]:
        def forward(part: Arrays) -> Mapping[str, np.ndarray]:
            return recalled(lambda: {"y": gemm.gemm(part["a"], part["b"], transpose_b=True)})

        return by_entry(arrays, ("b",), case.k, forward)

    def torch(
        self, case: GemmCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        return lambda: {"y": torch.nn.functional.linear(tensors["a"], tensors["b"])}

    def onnx_node(self, case: GemmCase) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return "Gemm", ("a", "b"), {"transB": 1}


class Softmax(Defined):
    """`pycnn.softmax` and `pycnn.softmax_backward` along rows."""

    def __init__(self) -> None:
        super().__init__(
            "softmax",
            RowsCase,
            lambda case: Case(str(case), {"x": (case.n, case.c)}, {"axis": 1}),
            entries=True,
            onnx=lambda case: ("Softmax", ("x",), {"axis": 1}),
        )


class CrossEntropy(Defined):
    """`pycnn.cross_entropy` and `pycnn.cross_entropy_backward` with the mean over rows."""

    def __init__(self) -> None:
        super().__init__(
            "cross_entropy",
            RowsCase,
            lambda case: Case(str(case), {"logits": (case.n, case.c), "target": (case.n,)}),
        )
