"""What all kinds of pooling have in common, and the three ways in which windows lie."""

from collections.abc import Mapping

from pycnn.define import _pool_problem as pooling
from pycnn.define._pool_problem import Ints, Problem
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_layout import LAYOUTS, Layout
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.views import View
from pycnn.plan.pool import Pooling

Views = Mapping[str, View]


class Pool(Operation):
    """Pooling along `axes` spatial axes; along any number of them if it is 0."""

    family = "pool"
    layouts = LAYOUTS
    #: The name but for the number of axes, where there is one.
    stem = ""

    def __init__(self, axes: int) -> None:
        self.axes = axes
        if axes:
            self.name = f"{self.stem}{axes}d"
        self.operands = (pooling.operand_x(axes),)

    def windows(
        self, name: str, shape: Ints, args: Arguments, dy: View | None = None
    ) -> tuple[Layout, Pooling]:
        """Windows over x, whose shape came with the argument `name`; `dy` is a gradient's."""
        raise NotImplementedError

    def problem(self, windows: tuple[Layout, Pooling], args: Arguments) -> Problem:
        """Windows, and the settings of forward and gradient."""
        return Problem(*windows)

    def infer(self, views: Views, args: Arguments) -> Inference:
        problem = self.problem(self.windows("x", views["x"].shape, args), args)
        return problem, {"y": (problem.shape(of_x=False), None)}

    def flops(self, call: Call) -> int:
        """A comparison or an addition for each element of each window."""
        return call.settings.pooling.windows * call.settings.pooling.taps


class PoolGradient(Gradient):
    """Gradient of pooling, from arrays like those of forward, by their names."""

    family = "pool"
    layouts = LAYOUTS
    forward: Pool
    names: tuple[str, ...] = ("dy",)

    def __init__(self, forward: Pool) -> None:
        self.forward = forward
        self.name = f"{forward.name}_backward"
        self.fixed = forward.fixed
        x = forward.operands[0]
        dtypes = {"indices": ("int64",)}
        self.operands = tuple(Operand(n, x.axes, x.ranks, dtypes.get(n)) for n in self.names)

    def infer(self, views: Views, args: Arguments) -> Inference:
        shape = pooling.shape_of_x(args.x_shape, self.forward.operands[0])
        windows = self.forward.windows("x_shape", shape, args, views["dy"])
        problem = self.forward.problem(windows, args)
        pooling.check_gradient(problem, views)
        return problem, {"dx": (problem.shape(of_x=True), None)}

    def flops(self, call: Call) -> int:
        """As forward."""
        return call.settings.pooling.windows * call.settings.pooling.taps


class Sliding(Pool):
    """Over sliding windows."""

    def windows(
        self, name: str, shape: Ints, args: Arguments, dy: View | None = None
    ) -> tuple[Layout, Pooling]:
        return pooling.sliding(name, shape, self.axes, args)


class Adaptive(Pool):
    """Over as many windows as asked for."""

    def windows(
        self, name: str, shape: Ints, args: Arguments, dy: View | None = None
    ) -> tuple[Layout, Pooling]:
        if dy is None:
            size = args.output_size
        else:
            size = pooling.output_size(dy, len(shape), self.axes, args.layout)
        return pooling.adaptive(name, shape, self.axes, args.layout, size)


class Global(Pool):
    """Over all spatial axes, however many."""

    def __init__(self) -> None:
        super().__init__(0)

    def windows(
        self, name: str, shape: Ints, args: Arguments, dy: View | None = None
    ) -> tuple[Layout, Pooling]:
        return pooling.adaptive(name, shape, len(shape) - 2, args.layout, 1)
