"""How far Winograd convolution is from the float64 oracle, beside direct convolution.

    python benchmarks/winograd_error.py [--json FILE [--force]]

Every number comes from the kernels themselves, in the emulator's fast build, on layers with the
channels of real networks. An output does not depend on how many filters there are, so there are
only a few. The data are standard normal ("normal") or that with negative inputs set to zero
("rectified"), as behind a ReLU. Errors are the largest over all outputs, in roundings: multiples of
the epsilon of the precision in which sums are kept times the largest magnitude of the result, and
for 16-bit types beyond the one rounding to that type, as in pycnn/testing/tolerance.py. Prints
JSON.

"points" compares interpolation points of F(4x4, 3x3) by the same formulas in NumPy.
"""

import argparse
from collections.abc import Iterator

import numpy as np

import pycnn
from pycnn.bench.environment import environment
from pycnn.define.views import View
from pycnn.dtypes import FLOATS, accumulator, numpy_dtype
from pycnn.plan import conv
from pycnn.plan.conv_problem import Problem
from pycnn.plan.winograd_matrices import POINTS, matrices
from pycnn.reference.oracle import conv as oracle
from pycnn.runtime.backends import executor
from pycnn.runtime.options import print_and_write_json, with_json
from pycnn.testing.tolerance import compare

COMMAND = "python benchmarks/winograd_error.py"
LIMIT = 2**30
FILTERS = 16

#: Channels and extent: few channels, as the first layers have, and the 3x3 layers of ResNet-50.
LAYERS = ((1, 56), (3, 56), (16, 56), (64, 56), (128, 28), (256, 14), (512, 7))

#: Images and extent of which the weight's gradient is the sum.
SUMS = ((1, 7), (1, 14), (4, 28), (8, 56))
ALGORITHMS = {
    "forward": ("direct", "winograd_f2", "winograd_f4"),
    "backward_weight": ("direct", "winograd_f2"),
}


def results() -> Iterator[dict[str, object]]:
    """One record for every layer, precision, distribution and algorithm."""
    shapes = [("forward", (1, c, extent)) for c, extent in LAYERS]
    shapes += [("backward_weight", (n, 8, extent)) for n, extent in SUMS]
    for direction, (n, c, extent) in shapes:
        for dtype in FLOATS:
            for data in ("normal", "rectified"):
                x, weight, dy = _arrays(n, c, extent, dtype, data)
                arrays = {"x": x, "weight": weight, "dy": dy}
                if direction == "forward":
                    yield from _measure(direction, "y", c * 9, arrays, data)
                else:
                    yield from _measure(direction, "dweight", n * extent**2, arrays, data)


def _arrays(n: int, c: int, extent: int, dtype: str, data: str) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(extent * c + n)
    shapes = (n, c, extent, extent), (FILTERS, c, 3, 3), (n, FILTERS, extent, extent)
    x, weight, dy = (rng.standard_normal(s).astype(numpy_dtype(dtype)) for s in shapes)
    return np.maximum(x, 0) if data == "rectified" else x, weight, dy


def _measure(
    direction: str, output: str, terms: int, arrays: dict[str, np.ndarray], data: str
) -> Iterator[dict[str, object]]:
    x, weight, dy = arrays.values()
    dtype = x.dtype.name
    views = (View.contiguous(a.shape, dtype) for a in (x, weight, dy))
    problem = Problem(*views, pad_begin=(1, 1))
    padding = ((1, 1), (1, 1))
    if direction == "forward":
        want = oracle.convolve(x, weight, None, (1, 1), padding, (1, 1), 1)
    else:
        needs = (False, True, False)
        want = oracle.convolve_backward(dy, x, weight, (1, 1), padding, (1, 1), 1, needs)[1]
    unit = FLOATS[accumulator(x.dtype).name].eps * np.abs(want).max()
    for algorithm in ALGORITHMS[direction]:
        plan = conv.plan(problem, direction, algorithm, LIMIT)
        got = executor("emulator").run(plan, arrays)[output]
        error, allowed = compare(got, want, dtype, terms)
        yield {
            "direction": direction,
            "images": x.shape[0],
            "channels": x.shape[1],
            "extent": x.shape[2],
            "dtype": dtype,
            "data": data,
            "algorithm": algorithm,
            "error": round(error / unit, 2),
            "allowed": round(allowed / unit, 1),
        }


def points() -> list[dict[str, object]]:
    """The largest error of F(4x4, 3x3) in float32 for two sets of interpolation points."""
    customary = (0.0, 1.0, -1.0, 2.0, -2.0)
    rows = []
    for channels, extent in ((16, 56), (64, 56), (256, 14)):
        x, weight, _ = _arrays(1, channels, extent, "float32", "normal")
        want = oracle.convolve(x, weight, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
        want = want[:, :, : want.shape[2] // 4 * 4, : want.shape[3] // 4 * 4]
        unit = FLOATS["float32"].eps * np.abs(want).max()
        errors = [
            np.abs(_model(x, weight, points) - want).max() / unit
            for points in (customary, POINTS[4])
        ]
        rows.append({
            "channels": channels,
            "customary": round(float(errors[0]), 1),
            "chosen": round(float(errors[1]), 1),
        })  # fmt: skip
    return rows


def _model(x: np.ndarray, weight: np.ndarray, points: tuple[float, ...]) -> np.ndarray:
    """F(4x4, 3x3) of the whole tiles of one image without padding, as matrix products."""
    g, b, a = (m.astype(np.float32) for m in matrices(points, 3))
    tiles = np.lib.stride_tricks.sliding_window_view(x[0], (6, 6), (1, 2))[:, ::4, ::4]
    factors = b @ tiles @ b.T
    products = np.einsum("kcij,cpqij->kpqij", g @ weight @ g.T, factors)
    y = a @ products @ a.T
    k, rows, cols = y.shape[:3]
    return y.transpose(0, 1, 3, 2, 4).reshape(1, k, 4 * rows, 4 * cols)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    file = with_json(parser).json
    with pycnn.use_backend("emulator"):
        report = {
            "environment": environment(COMMAND),
            "filters": FILTERS,
            "results": list(results()),
            "points": points(),
        }
    print_and_write_json(report, file)


if __name__ == "__main__":
    main()
