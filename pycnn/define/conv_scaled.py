"""Definition of the convolution of 8-bit floats with scales."""

from collections.abc import Mapping
from typing import Any

from pycnn.define.call import Arguments, Call
from pycnn.define.conv_int8 import SCALE, WEIGHT, ByteConv, X
from pycnn.define.conv_settings import refuse_kernel_algorithm
from pycnn.define.gemm_scaled import RESULTS, require_types
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays
from pycnn.define.views import View
from pycnn.dtypes import FLOAT8
from pycnn.plan import conv_scaled as plans
from pycnn.reference.cpu import conv_scaled as cpu


class ScaledConv2d(ByteConv):
    """(convolution of x with weight) * x_scale * weight_scale + bias."""

    name = "scaled_conv2d"
    operands = (
        X,
        Operand("weight", WEIGHT.axes, WEIGHT.ranks, tuple(FLOAT8)),
        Operand("x_scale", *SCALE),
        Operand("weight_scale", "() or (K,)", (0, 1), ("float32",)),
        Operand("bias", "(K,)", (1,), RESULTS, optional=True),
    )
    dtypes = tuple(FLOAT8)
    note = "8-bit floats with scales; y is bf16, f16 or f32"
    no_gradient = "8-bit floats, as integers, are for inference here"
    algorithms = plans.ALGORITHMS
    planner = plans.Scaling

    def result_dtype(self, views: Mapping[str, View], args: Arguments) -> str:
        return require_types(views, ("x", "weight"), args.output_dtype)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        s = call.settings
        refuse_kernel_algorithm(s.algo)
        y = cpu.convolve(
            s.layout.images(arrays["x"]),
            arrays["weight"],
            arrays["x_scale"],
            arrays["weight_scale"],
            arrays.get("bias"),
            *s.problem.windows,
        )
        return {"y": s.layout.from_channels_first(y)}


SCALED_CONV2D = ScaledConv2d()

DEFINITIONS = (SCALED_CONV2D,)
