"""Plans of sampling at the points of a grid: kernels/resize/grid_sample.cu."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, strided
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

FILE, HEADER = "resize/grid_sample.cu", "pycnn/grid_sample.cuh"

#: In the order of KIND of the header, which begins anew with the third axis; and its enum Padding.
MODES = ("nearest", "bilinear", "bicubic")
PADDINGS = ("zeros", "border", "reflection")

#: Elements along an axis that a point is made from.
WIDTHS = {"nearest": 1, "bilinear": 2, "bicubic": 4}


@dataclass(frozen=True)
class Sampling:
    """How points are read.

    Attributes
    ----------
    mode : str
        Of `MODES`.
    padding : str
        Of `PADDINGS`.
    align_corners : bool
    extents : tuple of int
        Of x: two or three.
    """

    mode: str
    padding: str
    align_corners: bool
    extents: Ints

    @property
    def taps(self) -> int:
        """Elements that a point is made from."""
        return int(WIDTHS[self.mode] ** len(self.extents))


def grid_sample(s: Sampling, views: Mapping[str, View], shape: Ints) -> Plan:
    """Plan: inputs ``x`` and ``grid``, output ``y`` of that shape."""
    kernel, params, dtype = _prepared(s, views)
    spec = ArraySpec(shape, numpy_dtype(dtype))
    launches = _launches(
        (kernel("grid_sample"), _points(views), (Buffer("x"), Buffer("grid"), Buffer("y"), params))
        if spec.nbytes
        else None
    )
    return Plan("grid_sample", s.mode, launches, {"y": spec})


def grid_sample_backward(s: Sampling, views: Mapping[str, View]) -> Plan:
    """Plan: inputs ``dy``, ``x`` and ``grid``, outputs ``dx`` and ``dgrid``."""
    kernel, params, dtype = _prepared(s, views)
    x, grid = views["x"].shape, views["grid"].shape
    entries = prod(grid[1:-1]) * s.taps
    outputs = {
        name: ArraySpec(shape, numpy_dtype(dtype)) for name, shape in (("dx", x), ("dgrid", grid))
    }
    workspace = {
        "end": ArraySpec((x[0], prod(s.extents)), np.dtype(np.int64)),
        "points": ArraySpec((x[0], max(entries, 1)), np.dtype(np.int64)),
        "weights": ArraySpec((x[0], max(entries, 1)), numpy_dtype(FLOATS[dtype].accumulate)),
    }
    bins = tuple(Buffer(name) for name in workspace)
    dy = Buffer("dy")
    by_point = (dy, Buffer("x"), Buffer("grid"), Buffer("dgrid"), params)
    of_dx = outputs["dx"].nbytes > 0
    launches = _launches(
        (kernel("grid_sample_bin"), x[0] * THREADS, (Buffer("grid"), *bins, params))
        if of_dx
        else None,
        (kernel("grid_sample_backward_input"), prod(x), (dy, *bins, Buffer("dx"), params))
        if of_dx
        else None,
        (kernel("grid_sample_backward_grid"), _points(views), by_point)
        if outputs["dgrid"].nbytes
        else None,
    )
    return Plan("grid_sample_backward", s.mode, launches, outputs, workspace if of_dx else {})


def _points(views: Mapping[str, View]) -> int:
    return prod(views["grid"].shape[:-1])


def _launches(*steps: tuple[Kernel, int, tuple[Argument, ...]] | None) -> tuple[Launch, ...]:
    """A thread each for so many, in blocks; None for nothing to do."""
    return tuple(
        Launch(kernel, (ceil_div(threads, THREADS), 1, 1), (THREADS, 1, 1), arguments)
        for kernel, threads, arguments in (step for step in steps if step)
    )


def _prepared(
    s: Sampling, views: Mapping[str, View]
) -> tuple[Callable[[str], Kernel], np.void, str]:
    """A kernel by its entry, the parameters of all, and the dtype."""
    x, grid, dy = views["x"], views["grid"], views.get("dy")
    points = grid.shape[1:-1]
    of_dy = dy.strides if dy else (0,) * x.rank
    params = struct(
        HEADER, "GridSample",
        images=x.shape[0], channels=x.shape[1], points=prod(points), elements=prod(s.extents),
        extent=(*s.extents, 0)[:3], x_n=x.strides[0], x_c=x.strides[1],
        x_stride=(*x.strides[2:], 0)[:3],
        grid_n=grid.strides[0], grid_k=grid.strides[-1], dy_n=of_dy[0], dy_c=of_dy[1],
        padding=PADDINGS.index(s.padding), align_corners=s.align_corners,
        point=strided(points, [grid.strides[1:-1], of_dy[2:]]),
    )  # fmt: skip
    kind = MODES.index(s.mode) + (3 if len(s.extents) == 3 else 0)
    defines = (("SCALAR", SCALAR[x.dtype]), ("KIND", str(kind)))
    return (lambda entry: Kernel(FILE, entry, defines)), params, x.dtype
