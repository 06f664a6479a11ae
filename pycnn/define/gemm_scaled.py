"""Definition of the product of 8-bit floats with scales."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_settings import refuse_kernel_algorithm
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, TakesScalars
from pycnn.define.validate import check_shape, choice
from pycnn.define.views import View
from pycnn.dtypes import FLOAT8
from pycnn.plan import gemm_scaled as plans
from pycnn.plan.gemm_problem import Gemm
from pycnn.reference.cpu import gemm as cpu
from pycnn.runtime.plan import Plan

RESULTS = ("bfloat16", "float16", "float32")
SCALE = ("() or (1,), one value", (0, 1), ("float32",))


@dataclass(frozen=True)
class Settings:
    """What `scaled_mm` was asked for; `scaled` is None where the result is empty."""

    scaled: plans.Scaled | None
    algo: str


class ScaledMm(TakesScalars):
    """scale_a * scale_b * (a @ b) + bias."""

    name = "scaled_mm"
    family = "gemm"
    operands = (
        Operand("a", "(M, K)", (2,)),
        Operand("b", "(K, N)", (2,), tuple(FLOAT8)),
        Operand("scale_a", *SCALE),
        Operand("scale_b", *SCALE),
        Operand("bias", "(N,)", (1,), RESULTS, optional=True),
    )
    dtypes = tuple(FLOAT8)
    bound = "arithmetic"
    note = "8-bit floats with a scale each; y is bf16, f16 or f32"
    no_gradient = "8-bit floats, as integers, are for inference here"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        a, b, bias = views["a"], views["b"], views.get("bias")
        dtype = require_types(views, ("a", "b"), args.output_dtype)
        algo = choice("algo", args.algo, ("auto", *plans.ALGORITHMS))
        if b.shape[0] != a.shape[1]:
            raise ValueError(
                f"b has shape {b.shape}; allowed: ({a.shape[1]}, N), for a of shape {a.shape}"
            )
        for name in ("scale_a", "scale_b"):
            if prod(views[name].shape) != 1:
                check_shape(name, views[name].shape, (), "one scale for the whole matrix")
        if bias is not None:
            check_shape("bias", bias.shape, (b.shape[1],), "one value per column")
        (m, k), n = a.shape, b.shape[1]
        scaled = None
        if m * n:
            of_a, of_b = ((0, 0, v.strides[0], v.strides[1]) for v in (a, b))
            problem = Gemm(m, n, k, a.dtype, a=of_a, b=of_b, c=(0, 0, n, 1))
            scaled = plans.Scaled(problem, b.dtype, dtype, bias.strides[0] if bias else None)
        return Settings(scaled, algo), {"y": ((m, n), dtype)}

    def plan(self, call: Call) -> Plan:
        s: Settings = call.settings
        if s.scaled is None:
            return Plan(self.name, s.algo, (), dict(call.outputs))
        return s.scaled.plan(s.algo)

    def choices(self, call: Call) -> tuple[plans.Scaled, ...]:
        return (call.settings.scaled,) if call.settings.scaled else ()

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        refuse_kernel_algorithm(call.settings.algo)
        wide = [arrays[name].astype(np.float32) for name in "ab"]
        scales = [arrays[name].reshape(()) for name in ("scale_a", "scale_b")]
        y = cpu.gemm(*wide) * (scales[0] * scales[1])
        return {"y": y + arrays["bias"].astype(np.float32) if "bias" in arrays else y}

    def flops(self, call: Call) -> int:
        return 2 * prod(call.outputs["y"].shape) * call.views["a"].shape[1]


def require_types(views: Mapping[str, View], factors: tuple[str, str], output_dtype: Any) -> str:
    """The dtype of the result, which that of the bias is; one of the two factors is e4m3."""
    dtype, bias = choice("output_dtype", output_dtype, RESULTS), views.get("bias")
    if all(views[name].dtype == "float8_e5m2" for name in factors):
        raise TypeError(
            f"{' and '.join(factors)} have dtype float8_e5m2; allowed: float8_e4m3fn for one of "
            "them"
        )
    if bias is not None and bias.dtype != dtype:
        raise TypeError(f"bias has dtype {bias.dtype}; allowed: {dtype}, that of the result")
    return dtype


SCALED_MM = ScaledMm()

DEFINITIONS = (SCALED_MM,)
