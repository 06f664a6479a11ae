"""Definitions of the products of matrices."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, check_shape, choice
from pycnn.define.views import View
from pycnn.plan import gemm as plans
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.gemm_choice import Multiplying
from pycnn.plan.matmul import Matrices, products
from pycnn.reference.cpu import gemm as cpu
from pycnn.runtime.plan import Plan, renamed
from pycnn.runtime.target import Target, target

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

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        product = Product(
            boolean("transpose_a", args.transpose_a),
            boolean("transpose_b", args.transpose_b),
            boolean("relu", args.relu),
            choice("algo", args.algo, ("auto", *plans.algorithms_of(views["a"].dtype))),
        )
        a, b = views["a"], views["b"]
        if b.rank != a.rank:
            raise ValueError(
                f"b has shape {b.shape} (rank {b.rank}); allowed: as many axes as a, {a.rank}"
            )
        *batch, m, k = seen(a, product.transpose_a).shape
        *others, n = seen(b, product.transpose_b).shape
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
        return product, {"y": ((*batch, m, n), None)}

    def plan(self, call: Call) -> Plan:
        return self._by(call, target(), call.settings.algo)

    def choices(self, call: Call) -> tuple[Multiplying, ...]:
        if 0 in call.outputs["y"].shape:
            return ()
        problem = plans.problem_of(*self._planned(call))
        return (Multiplying("y", problem, partial(self._by, call, target())),)

    def _by(self, call: Call, target: Target, algo: str) -> Plan:
        return renamed(plans.plan_gemm(*self._planned(call), algo, target), {"c": "y"})

    def _planned(self, call: Call) -> tuple[Any, ...]:
        """What plans take of it."""
        product: Product = call.settings
        a, b = (
            seen(call.views["a"], product.transpose_a),
            seen(call.views["b"], product.transpose_b),
        )
        bias = call.views.get("bias")
        epilogue = Epilogue(
            bias=None if bias is None else bias.strides[0],
            activation="relu" if product.relu else None,
        )
        channel = "row" if bias is not None and bias.rank == 2 else "col"
        return a.shape, a.strides, b.shape, b.strides, call.dtype, epilogue, channel

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        f: Product = call.settings
        operands = (arrays["a"], arrays["b"], arrays.get("bias"))
        return {"y": cpu.gemm(*operands, f.relu, f.transpose_a, f.transpose_b, out=out)}

    def flops(self, call: Call) -> int:
        k = seen(call.views["a"], call.settings.transpose_a).shape[-1]
        return 2 * prod(call.outputs["y"].shape) * k


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

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
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
        return batch, {"y": (y, None)}

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

    def flops(self, call: Call) -> int:
        return 2 * prod(call.outputs["y"].shape) * call.views["a"].shape[-1]


def _matrices(array: str, view: View, batch: Shape) -> Matrices:
    """The strides of an operand over the broadcast batch axes."""
    whole = view.with_rank(len(batch) + 2)
    steps = zip(whole.shape[:-2], whole.strides[:-2], strict=True)
    return Matrices(array, tuple(0 if e == 1 else s for e, s in steps), *whole.strides[-2:])


class Bmm(Operation):
    """Products of two batches of matrices."""

    name = "bmm"
    family = "gemm"
    operands = (Operand("a", "(B, M, K)", (3,)), Operand("b", "(B, K, N)", (3,)))
    bound = "arithmetic"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        (batch, m, k), b = views["a"].shape, views["b"].shape
        if b[:2] != (batch, k):
            raise ValueError(
                f"b has shape {b}; allowed: ({batch}, {k}, N), for a of shape {views['a'].shape} "
                "(matmul broadcasts)"
            )
        return None, {"y": ((batch, m, b[2]), None)}

    def plan(self, call: Call) -> Plan:
        return _batched("bmm", "y", call, "a", call.views["a"], "b", call.views["b"])

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"y": cpu.matmul(arrays["a"], arrays["b"])}

    def flops(self, call: Call) -> int:
        return 2 * prod(call.outputs["y"].shape) * call.views["a"].shape[-1]


def _batched(op: str, output: str, call: Call, left: str, a: View, right: str, b: View) -> Plan:
    """One product of two batches of matrices."""
    batch = a.shape[:1]
    size = (a.shape[1], b.shape[2], a.shape[2])
    operands = _matrices(left, a, batch), _matrices(right, b, batch)
    shape = call.outputs[output].shape
    return products(op, output, shape, size, *operands, call.dtype, batch=batch)


GEMM, MATMUL, BMM = Gemm(), Matmul(), Bmm()


class BmmBackward(Gradient):
    """dy by b transposed, and a transposed by dy."""

    name = "bmm_backward"
    family = "gemm"
    forward = BMM
    operands = (Operand("dy", "(B, M, N)", (3,)), *BMM.operands)
    bound = "arithmetic"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        (shape, _) = BMM.infer(views, args)[1]["y"]
        check_shape("dy", views["dy"].shape, shape, "that of the product")
        return None, {f"d{name}": (views[name].shape, None) for name in "ab"}

    def plan(self, call: Call) -> tuple[Plan, ...]:
        dy, a, b = (call.views[name] for name in ("dy", "a", "b"))
        return (
            _batched(self.name, "da", call, "dy", dy, "b", seen(b, True)),
            _batched(self.name, "db", call, "a", seen(a, True), "dy", dy),
        )

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        dy, a, b = (arrays[name] for name in ("dy", "a", "b"))
        return {"da": cpu.matmul(dy, b.swapaxes(1, 2)), "db": cpu.matmul(a.swapaxes(1, 2), dy)}

    def flops(self, call: Call) -> int:
        return 4 * prod(call.views["dy"].shape) * call.views["a"].shape[-1]


BMM_BACKWARD = BmmBackward()

DEFINITIONS = (GEMM, MATMUL, BMM, BMM_BACKWARD)
