"""Convolutions run straight from their plans, algorithm by algorithm, against the oracle."""

from dataclasses import dataclass, field, replace

import numpy as np
from op_checks import assert_matches, same_under_all_schedules

import pycnn
from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan import conv as plans
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.conv_problem import Problem
from pycnn.reference.oracle import conv as oracle
from pycnn.runtime.backends import executor

LIMIT = 2**28
PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@dataclass(frozen=True)
class Case:
    """A convolution; `pad` is ((top, bottom), (left, right))."""

    n: int
    c: int
    h: int
    w: int
    k: int
    sides: tuple[int, int] = (3, 3)
    pad: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    mode: str = "zeros"

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        extents = (
            (extent + sum(pad) - dilation * (side - 1) - 1) // stride + 1
            for extent, pad, side, stride, dilation in zip(
                (self.h, self.w), self.pad, self.sides, self.stride, self.dilation, strict=True
            )
        )
        return (self.n, self.k, *extents)

    def terms(self, output: str) -> int:
        """Of the sum that makes one element."""
        taps = self.sides[0] * self.sides[1]
        _, k, p, q = self.y_shape
        sums = {"y": self.c * taps, "dx": k * taps, "dweight": self.n * p * q * self.groups}
        return sums[output] // self.groups

    def arrays(self, rng: np.random.Generator, dtype: str, arrange=lambda a: a) -> dict:
        """x, weight and dy; `arrange` lays each out in memory."""
        shapes = {
            "x": (self.n, self.c, self.h, self.w),
            "weight": (self.k, self.c // self.groups, *self.sides),
            "dy": self.y_shape,
        }
        return {
            name: arrange(rng.standard_normal(shape).astype(numpy_dtype(dtype)))
            for name, shape in shapes.items()
        }

    def expected(self, output: str, x, weight, dy) -> np.ndarray:
        """By the oracle, in float64; the gradients for padding with zeros, dweight for any."""
        pad, geometry = self.pad, (self.stride, self.pad, self.dilation, self.groups)
        if self.mode != "zeros":
            x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *pad), PAD_MODES[self.mode])
            geometry = (self.stride, ((0, 0), (0, 0)), self.dilation, self.groups)
        if output == "y":
            return oracle.convolve(x, weight, None, *geometry)
        dx, dweight, _ = oracle.convolve_backward(dy, x, weight, *geometry)
        return dx if output == "dx" else dweight

    def problem(self, arrays: dict, **changed) -> Problem:
        views = {name: view(array) for name, array in arrays.items()}
        problem = Problem(
            views["x"],
            views["weight"],
            views["dy"],
            self.stride,
            (self.pad[0][0], self.pad[1][0]),
            self.dilation,
            self.groups,
            mode=self.mode,
        )
        return replace(problem, **changed)


def view(array: np.ndarray) -> View:
    return View.of("array", array)


def channels_last(array: np.ndarray) -> np.ndarray:
    """The same with channels innermost in memory."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def misaligned(array: np.ndarray) -> np.ndarray:
    """Channels side by side, but no chunk of them at an address that 16 divides."""
    n, c, h, w = array.shape
    flat = np.zeros(array.size + 1, array.dtype)[1:]
    flat[:] = array.transpose(0, 2, 3, 1).ravel()
    return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def padded(array: np.ndarray) -> np.ndarray:
    """Pixels three channels further apart than they have channels."""
    n, c, h, w = array.shape
    wide = np.zeros((n, h, w, c + 3), array.dtype)[..., :c]
    wide[:] = array.transpose(0, 2, 3, 1)
    return wide.transpose(0, 3, 1, 2)


def draw(rng, case: Case, dtype="float16", arrange=channels_last) -> dict:
    """x, weight and dy; images laid out by `arrange`."""
    plain = case.arrays(rng, dtype)
    return {name: a if name == "weight" else arrange(a) for name, a in plain.items()}


DIRECTIONS = {"forward": "y", "backward_input": "dx", "backward_weight": "dweight"}


@dataclass
class Run:
    """A backend, an algorithm and a limit."""

    backend: object
    algorithm: str
    limit: int = LIMIT
    finish: Epilogue = field(default_factory=Epilogue)

    def __call__(self, case: Case, direction: str, arrays: dict, arrange=lambda a: a) -> np.ndarray:
        """The result, in memory as `arrange` lays it out where it is an image."""
        output = DIRECTIONS[direction]
        shape = {"y": case.y_shape, "dx": arrays["x"].shape, "dweight": arrays["weight"].shape}
        result = np.full(shape[output], np.nan, arrays["x"].dtype)
        result = result if output == "dweight" else arrange(result)
        replaced = {"y": "y", "dx": "x", "dweight": "weight"}[output]
        problem = case.problem(arrays, **{replaced: view(result)}, epilogue=self.finish)
        plan = plans.plan(problem, direction, self.algorithm, self.limit)
        assert plan.algo == self.algorithm
        assert plan.workspace_bytes <= self.limit
        name = "cuda" if self.backend.name == "cuda" else "emulator"
        given = {key: self.backend.array(value) for key, value in arrays.items()}
        into = {output: self.backend.array(result)}
        return self.backend.numpy(executor(name).run(plan, given, into)[output])


def by_its_name(backend, rng, algo: str) -> None:
    """The public function with channels last, a bias and this algorithm."""
    x = rng.standard_normal((2, 9, 7, 72)).astype(np.float16)
    weight, bias = rng.standard_normal((88, 72, 3, 2)).astype(np.float16), np.ones(88, np.float16)
    operands = [backend.array(array) for array in (x, weight, bias)]
    got = pycnn.conv2d(*operands, padding=1, layout="NHWC", algo=algo)
    case = Case(2, 72, 9, 7, 88, (3, 2))
    want = case.expected("y", x.transpose(0, 3, 1, 2), weight, None) + 1
    assert_matches(got, want.transpose(0, 2, 3, 1), "float16", 72 * 6, backend)


def deterministic(backend, rng, monkeypatch, direction: str, algorithm: str) -> None:
    """The same bits under all schedules, channels last."""
    case = Case(2, 40, 9, 8, 32, (3, 2))
    arrays, run = draw(rng, case), Run(backend, algorithm)
    same_under_all_schedules(
        backend, monkeypatch, lambda: backend.array(run(case, direction, arrays, channels_last))
    )


def with_end(rng, want, dtype="float16", arrange=channels_last, gap=2):
    """Operands of an epilogue, what describes it, and what it makes of `want`, the sums.

    Numbers of a filter are two apart, and columns of the residual `gap`.
    """
    n, c, h, w = want.shape
    bias, scale, shift = rng.standard_normal((3, c, 2)).astype(dtype)[..., 0]
    residual = arrange(rng.standard_normal((n, c, h, gap * w)).astype(dtype))[..., ::gap]
    end = {"bias": bias, "scale": scale, "shift": shift, "residual": residual}
    steps = {name: view(array).strides for name, array in end.items()}
    steps |= {name: steps[name][0] for name in ("bias", "scale", "shift")}
    finish = Epilogue(**steps, activation="leaky_relu", slope=0.125)
    bias, scale, shift = (a.astype(np.float64)[:, None, None] for a in (bias, scale, shift))
    want = (want + bias) * scale + shift + residual
    return end, finish, np.where(want < 0, want / 8, want)
