"""Definitions of transposed convolution along one, two and three axes, and of its gradients.

A transposed convolution from x to y is the gradient, with respect to its input, of the convolution
from y to x. Its own gradient with respect to x is that convolution, and that with respect to the
weight is the convolution's, with x and dy in exchanged roles. So there are no plans of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pycnn import config
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv import ConvGradients, Convolution
from pycnn.define.conv_geometry import Windows, transposed
from pycnn.define.conv_layout import Layout, planar, planar_array
from pycnn.define.conv_settings import (
    GRADIENTS,
    LIMIT,
    Settings,
    check_algorithm,
    epilogue,
    finish,
    refuse_kernel_algorithm,
)
from pycnn.define.operation import Arrays
from pycnn.define.views import View
from pycnn.plan import conv as plans
from pycnn.plan.conv_problem import Problem
from pycnn.reference.cpu import conv_transpose as cpu
from pycnn.reference.cpu.conv_axes import finish as cpu_finish


class ConvTranspose(Convolution):
    """Every element of x adds a filter to y."""

    stem = "conv_transpose"
    weight = "C, K/G"

    def extents(
        self, views: Mapping[str, View], args: Arguments
    ) -> tuple[Layout, Windows, tuple[int, ...]]:
        _only_zeros(args.padding_mode)
        layout = Layout.of(args.layout, self.spatial, views["x"].rank)
        x, weight = layout.extents(views["x"].shape), views["weight"].shape
        windows, out = transposed(
            ("x", x),
            ("weight", weight),
            args.stride,
            args.padding,
            args.output_padding,
            args.groups,
            args.dilation,
        )
        return layout, windows, (x[0], weight[1] * windows["groups"], *out)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        layout, windows, y = self.extents(views, args)
        problem = Problem(
            layout.contiguous(y, views["x"].dtype),
            planar(views["weight"]),
            layout.view(views["x"]),
            **windows,
            epilogue=epilogue(views, layout, y, args, self.defaults),
        )
        check_algorithm(args.algo, ["backward_input"])
        settings = Settings(layout, problem, args.algo, config.get(LIMIT))
        return settings, {"y": (layout.arranged(y), None)}

    def choices(self, call: Call) -> tuple[plans.Convolving]:
        s: Settings = call.settings
        names = {"dy": "x", "dx": "y"}
        y = call.outputs["y"]
        return (plans.Convolving("y", s.problem, "backward_input", s.limit, self.name, y, names),)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        s: Settings = call.settings
        refuse_kernel_algorithm(s.algo)
        x, weight = s.layout.images(arrays["x"]), planar_array(arrays["weight"])
        y = cpu.convolve_transposed(x, weight, *s.problem.windows, s.problem.x.shape[2:])
        if "bias" in arrays:
            cpu_finish(y, shift=arrays["bias"])
        return {"y": s.layout.from_channels_first(cpu_finish(y, **finish(call, arrays)))}


class ConvTransposeBackward(ConvGradients):
    """Gradients of a transposed convolution with respect to input, weight and bias."""

    source, target = "dy", "x"
    directions = GRADIENTS | {"dx": "forward"}

    def choices(self, call: Call) -> tuple[plans.Convolving, ...]:
        return tuple(getattr(self, f"_{name}")(call) for name in call.settings.needs)

    def _dx(self, call: Call) -> plans.Convolving:
        """The convolution of dy."""
        s: Settings = call.settings
        dx = s.layout.contiguous(s.layout.extents(call.views["x"].shape), call.dtype)
        problem, names = replace(s.problem, y=dx), {"x": "dy", "y": "dx"}
        op, output = f"{self.name}_input", call.outputs["dx"]
        return plans.Convolving("dx", problem, "forward", s.limit, op, output, names)

    def _dweight(self, call: Call) -> plans.Convolving:
        """The gradient of the convolution of dy, whose result has the gradient x."""
        s: Settings = call.settings
        problem = replace(s.problem, weight=View.contiguous(s.problem.weight.shape, call.dtype))
        op, output, names = f"{self.name}_weight", call.outputs["dweight"], {"x": "dy", "dy": "x"}
        return plans.Convolving("dweight", problem, "backward_weight", s.limit, op, output, names)

    def _dbias(self, call: Call) -> plans.Convolving:
        """Sums of dy, as those of a convolution of which it is the gradient."""
        s: Settings = call.settings
        dy = s.problem.x
        ones = View.contiguous((dy.shape[1], 1, *[1] * (len(dy.shape) - 2)), dy.dtype)
        axes = s.problem.spatial
        units: dict[str, Any] = {
            "stride": (1,) * axes,
            "pad_begin": (0,) * axes,
            "dilation": (1,) * axes,
        }
        problem = replace(s.problem, weight=ones, y=dy, groups=dy.shape[1], **units)
        op, output = f"{self.name}_bias", call.outputs["dbias"]
        return plans.Convolving("dbias", problem, "backward_bias", s.limit, op, output)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        refuse_kernel_algorithm(call.settings.algo)
        return self.by_reference(cpu.convolve_transposed_backward, call, arrays)


def _only_zeros(mode: Any) -> None:
    """What lies beyond the result of a transposed convolution is cut off: nothing to reflect."""
    if mode != "zeros":
        raise ValueError(f"padding_mode={mode!r}; allowed for a transposed convolution: zeros")


CONV_TRANSPOSE1D, CONV_TRANSPOSE2D, CONV_TRANSPOSE3D = map(ConvTranspose, (1, 2, 3))
CONV_TRANSPOSE1D_BACKWARD = ConvTransposeBackward(CONV_TRANSPOSE1D)
CONV_TRANSPOSE2D_BACKWARD = ConvTransposeBackward(CONV_TRANSPOSE2D)
CONV_TRANSPOSE3D_BACKWARD = ConvTransposeBackward(CONV_TRANSPOSE3D)

DEFINITIONS = (
    CONV_TRANSPOSE1D,
    CONV_TRANSPOSE1D_BACKWARD,
    CONV_TRANSPOSE2D,
    CONV_TRANSPOSE2D_BACKWARD,
    CONV_TRANSPOSE3D,
    CONV_TRANSPOSE3D_BACKWARD,
)
