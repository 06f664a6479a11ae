"""Definitions of the fully connected layer and its gradients."""

from collections.abc import Mapping
from math import prod
from typing import Any

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, check_shape, slope_of
from pycnn.define.views import View
from pycnn.plan._epilogue import ACTIVATIONS, Epilogue
from pycnn.plan.matmul import Matrices, products, summed_product
from pycnn.plan.reduce import reduction
from pycnn.reference.cpu import gemm as cpu
from pycnn.reference.cpu.conv_axes import finish
from pycnn.runtime.plan import Plan, renamed


class Linear(Operation):
    """x weight^T + bias, activated."""

    name = "linear"
    family = "gemm"
    operands = (
        Operand("x", "(..., in)", tuple(range(1, 9))),
        Operand("weight", "(out, in)", (2,)),
        Operand("bias", "(out,)", (1,), None, True),
    )
    bound = "arithmetic"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        check_weight(views)
        outputs = views["weight"].shape[:1]
        if "bias" in views:
            check_shape("bias", views["bias"].shape, outputs, "one value an output")
        usual = self.defaults["negative_slope"]
        slope = slope_of(args.activation, args.negative_slope, usual, ACTIVATIONS)
        bias = views["bias"].strides[0] if "bias" in views else None
        epilogue = Epilogue(bias=bias, activation=args.activation, slope=slope)
        return epilogue, {"y": ((*views["x"].shape[:-1], *outputs), None)}

    def plan(self, call: Call) -> Plan:
        x, weight = call.views["x"].with_rank(2), call.views["weight"]
        out, k = weight.shape
        rows = Matrices("x", x.strides[:-2], *x.strides[-2:])
        columns = Matrices("weight", (0,) * (x.rank - 2), *weight.strides[::-1])
        size, batch = (x.shape[-2], out, k), x.shape[:-2]
        y = call.outputs["y"].shape
        return products(self.name, "y", y, size, rows, columns, call.dtype, call.settings,
                        batch=batch)  # fmt: skip

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        sums = cpu.linear(arrays["x"], arrays["weight"], arrays.get("bias"))
        end: Epilogue = call.settings
        flat = sums.reshape(prod(sums.shape[:-1]), sums.shape[-1])
        y = finish(flat, activation=end.activation, slope=end.slope)
        return {"y": y.reshape(sums.shape)}

    def flops(self, call: Call) -> int:
        return 2 * prod(call.outputs["y"].shape) * call.views["x"].shape[-1]


LINEAR = Linear()


class LinearBackward(Gradient):
    """Gradients of a fully connected layer with respect to input, weight and bias."""

    name = "linear_backward"
    family = "gemm"
    forward = LINEAR
    results = ("dx", "dweight", "dbias")
    operands = (Operand("dy", "(..., out)", tuple(range(1, 9))), *Linear.operands[:2])
    bound = "arithmetic"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        check_weight(views)
        x, weight = views["x"].shape, views["weight"].shape
        expected = (*x[:-1], weight[0])
        check_shape("dy", views["dy"].shape, expected, "the shape of the result of linear")
        if not isinstance(args.needs, (tuple, list)) or len(args.needs) != 3:
            raise ValueError(
                f"needs={args.needs!r}; allowed: (bool, bool, bool) for input, weight, bias"
            )
        shapes = {"dx": x, "dweight": weight, "dbias": weight[:1]}
        needed = [n for n, need in zip(shapes, args.needs, strict=True) if boolean("needs", need)]
        return tuple(needed), {name: (shapes[name], None) for name in needed}

    def plan(self, call: Call) -> tuple[Plan, ...]:
        dy, x, weight = (call.views[name].with_rank(2) for name in ("dy", "x", "weight"))
        out, inputs = weight.shape
        batch = x.shape[:-1]
        gradients = {}
        if "dx" in call.settings:
            rows = Matrices("dy", dy.strides[:-2], *dy.strides[-2:])
            columns = Matrices("weight", (0,) * (x.rank - 2), *weight.strides)
            size = (batch[-1], inputs, out)
            gradients["dx"] = products(
                "linear_backward_input", "dx", call.outputs["dx"].shape,
                size, rows, columns, call.dtype, batch=batch[:-1],
            )  # fmt: skip
        if "dweight" in call.settings:
            left = Matrices("dy", dy.strides[:-1], 0, dy.strides[-1])
            right = Matrices("x", x.strides[:-1], 0, x.strides[-1])
            gradients["dweight"] = summed_product(
                "linear_backward_weight", "dweight", (out, inputs), batch, left, right, call.dtype
            )
        if "dbias" in call.settings:
            axes = range(dy.rank - 1)
            summed = reduction("sum", dy.shape, dy.strides, axes, call.dtype, (out,))
            gradients["dbias"] = renamed(summed, {"x": "dy", "y": "dbias"})
        return tuple(gradients[name] for name in call.settings)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        dy, x, weight = (arrays[name] for name in ("dy", "x", "weight"))
        count = prod(x.shape[:-1])
        rows, flat_x = dy.reshape(count, dy.shape[-1]), x.reshape(count, x.shape[-1])
        gradients = {
            "dx": lambda: (rows @ weight).reshape(x.shape),
            "dweight": lambda: rows.T @ flat_x,
            "dbias": lambda: rows.sum(axis=0),
        }
        return {name: gradients[name]() for name in call.settings}

    def flops(self, call: Call) -> int:
        dy, inputs = call.views["dy"].shape, call.views["weight"].shape[1]
        each = {"dx": 2 * inputs, "dweight": 2 * inputs, "dbias": 1}
        return prod(dy) * sum(each[name] for name in call.settings)


def check_weight(views: Mapping[str, View]) -> None:
    """The weight takes the last axis of x."""
    out, inputs = views["weight"].shape
    if inputs != views["x"].shape[-1]:
        raise ValueError(
            f"weight has shape {(out, inputs)}; allowed: (out, {views['x'].shape[-1]}), for x of "
            f"shape {views['x'].shape}"
        )


LINEAR_BACKWARD = LinearBackward()

DEFINITIONS = (LINEAR, LINEAR_BACKWARD)
