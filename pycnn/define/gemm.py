"""Definitions of the products of matrices."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Operation
from pycnn.define.validate import boolean, check_shape, choice
from pycnn.define.views import View
from pycnn.plan import gemm as plans
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.conv import renamed
from pycnn.plan.matmul import Matrices, products
from pycnn.reference.cpu import gemm as cpu
from pycnn.reference.oracle import gemm as oracle
from pycnn.runtime.plan import Plan

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """What `gemm` was asked for.

    Attributes
    ----------
    transpose_a, transpose_b, relu : bool
    algo : str
    """

    transpose_a: bool
    transpose_b: bool
    relu: bool
    algo: str


class Gemm(Operation):
    """a @ b + bias, through ReLU if asked."""

    name = "gemm"
    family = "gemm"
    operands = (
        Operand("a", "(M, K) or (B, M, K), the last two swapped by transpose_a", (2, 3)),
        Operand("b", "(K, N) or (B, K, N), the last two swapped by transpose_b", (2, 3)),
        Operand("bias", "(N,), one value per column, or (M, 1), one per row", (1, 2), None, True),
    )
    bound = "arithmetic"
    no_gradient = "two products of the same kind: of dy and b, and of a and dy"
    cases = (
        Case("plain", {"a": (21, 35), "b": (35, 19)}),
        Case("bias", {"a": (21, 35), "b": (35, 19), "bias": (19,)}, {"relu": True}),
        Case("bias of rows", {"a": (21, 35), "b": (35, 19), "bias": (21, 1)}),
        Case("transposed a", {"a": (35, 21), "b": (35, 19)}, {"transpose_a": True}),
        Case("batch", {"a": (3, 21, 35), "b": (3, 19, 35)}, {"transpose_b": True}),
        Case("nothing to sum", {"a": (3, 0), "b": (0, 5), "bias": (5,)}),
        Case("no rows", {"a": (0, 3), "b": (3, 5)}),
        Case("fully connected", {"a": (64, 256), "b": (256, 128)}, standard=True),
    )

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inferred:
        found = Product(
            boolean("transpose_a", args.transpose_a),
            boolean("transpose_b", args.transpose_b),
            boolean("relu", args.relu),
            choice("algo", args.algo, ("auto", *plans.algorithms)),
        )
        a, b = views["a"], views["b"]
        if b.rank != a.rank:
            raise ValueError(
                f"b has shape {b.shape} (rank {b.rank}); allowed: as many axes as a, {a.rank}"
            )
        *batch, m, k = seen(a, found.transpose_a).shape
        *others, n = seen(b, found.transpose_b).shape
        if others != [*batch, k]:
            allowed = ", ".join(map(str, (*batch, *(("N", k) if args.transpose_b else (k, "N")))))
            raise ValueError(
                f"b has shape {b.shape}; allowed: ({allowed}) with transpose_b={args.transpose_b}, "
                f"for a of shape {a.shape} with transpose_a={args.transpose_a}"
            )
        if "bias" in views:
            bias = views["bias"]
            shape, meaning = ((n,), "column") if bias.rank == 1 else ((m, 1), "row")
            check_shape("bias", bias.shape, shape, f"one value per {meaning}")
        return Inferred(found, {"y": ((*batch, m, n), None)})

    def plan(self, call: Call) -> Plan:
        found: Product = call.settings
        a, b = seen(call.views["a"], found.transpose_a), seen(call.views["b"], found.transpose_b)
        bias = call.views.get("bias")
        epilogue = Epilogue(
            bias=None if bias is None else bias.strides[0],
            activation="relu" if found.relu else None,
        )
        channel = "row" if bias is not None and bias.rank == 2 else "col"
        made = plans.plan_gemm(
            a.shape, a.strides, b.shape, b.strides, call.dtype, epilogue, channel, found.algo
        )
        return renamed(made, {"c": "y"})

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"y": cpu.gemm(*self._arguments(call, arrays), out=out)}

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.gemm(*self._arguments(call, arrays))}

    def _arguments(self, call: Call, arrays: Arrays) -> tuple[Any, ...]:
        f: Product = call.settings
        operands = (arrays["a"], arrays["b"], arrays.get("bias"))
        return (*operands, f.relu, f.transpose_a, f.transpose_b)

    def flops(self, call: Call) -> int:
        return 2 * prod(call.outputs["y"].shape) * self.terms(call)

    def terms(self, call: Call) -> int:
        return seen(call.views["a"], call.settings.transpose_a).shape[-1]


def seen(view: View, transposed: bool) -> View:
    """With the last two axes swapped, if so."""
    if not transposed:
        return view
    (*shape, m, n), (*strides, row, col) = view.shape, view.strides
    return View((*shape, n, m), (*strides, col, row), view.dtype)


class Matmul(Operation):
    """Product of matrices or vectors, over broadcast batch axes."""

    name = "matmul"
    family = "gemm"
    operands = (
        Operand("a", "(..., M, K) or (K,)", tuple(range(1, 9))),
        Operand("b", "(..., K, N) or (K,)", tuple(range(1, 9))),
    )
    bound = "arithmetic"
    no_gradient = "two products of the same kind, summed over broadcast axes"
    cases = (
        Case("matrices", {"a": (21, 35), "b": (35, 19)}),
        Case("vectors", {"a": (35,), "b": (35,)}),
        Case("vector first", {"a": (35,), "b": (2, 35, 19)}),
        Case("vector last", {"a": (2, 21, 35), "b": (35,)}),
        Case("one b for all", {"a": (3, 2, 21, 35), "b": (35, 19)}),
        Case("one a for all", {"a": (21, 35), "b": (3, 2, 35, 19)}),
        Case("broadcast", {"a": (2, 1, 5, 7, 9), "b": (3, 1, 9, 11)}),
        Case("three levels", {"a": (2, 1, 3, 5, 7), "b": (2, 4, 1, 7, 3)}),
        Case("no batch", {"a": (0, 3, 5), "b": (5, 7)}),
        Case("nothing to sum", {"a": (2, 3, 0), "b": (2, 0, 5)}),
        Case("attention", {"a": (2, 4, 49, 32), "b": (2, 4, 32, 49)}, standard=True),
    )

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inferred:
        a, b = views["a"], views["b"]
        k = b.shape[-2] if b.rank > 1 else b.shape[0]
        if k != a.shape[-1]:
            axis = "last but one" if b.rank > 1 else "only"
            raise ValueError(
                f"b has shape {b.shape}; allowed: {a.shape[-1]} on its {axis} axis, for a of shape "
                f"{a.shape}"
            )
        try:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(
                f"b has shape {b.shape}; allowed: batch axes that broadcast with those of a, "
                f"{a.shape[:-2]}"
            ) from None
        y = (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.rank > 1 else ()))
        return Inferred(batch, {"y": (y, None)})

    def plan(self, call: Call) -> Plan:
        batch: Shape = call.settings
        a, b = call.views["a"].with_rank(2), call.views["b"]
        if b.rank == 1:
            b = View((*b.shape, 1), (*b.strides, 0), b.dtype)
        size = (a.shape[-2], b.shape[-1], a.shape[-1])
        operands = _matrices("a", a, batch), _matrices("b", b, batch)
        return products("matmul", "y", call.outputs["y"].shape, size, *operands, call.dtype,
                        batch=batch)  # fmt: skip

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"y": cpu.matmul(arrays["a"], arrays["b"])}

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        a, b = (arrays[name].astype(np.float64) for name in "ab")
        return {"y": np.asarray(np.matmul(a, b))}

    def flops(self, call: Call) -> int:
        return 2 * prod(call.outputs["y"].shape) * self.terms(call)

    def terms(self, call: Call) -> int:
        return call.views["a"].shape[-1]

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {"y": torch.matmul(tensors["a"], tensors["b"])}


def _matrices(array: str, view: View, batch: Shape) -> Matrices:
    """The strides of an operand over the broadcast batch axes."""
    whole = view.with_rank(len(batch) + 2)
    steps = zip(whole.shape[:-2], whole.strides[:-2], strict=True)
    return Matrices(array, tuple(0 if e == 1 else s for e, s in steps), *whole.strides[-2:])


GEMM, MATMUL = Gemm(), Matmul()

DEFINITIONS = (GEMM, MATMUL)
