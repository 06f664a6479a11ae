"""What the tests of the matrix product share: operands of every layout, single launches."""

import numpy as np
import pytest

from pycnn.dtypes import FLOATING, numpy_dtype
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.gemm import algorithms_of, gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.reference.oracle.gemm import gemm as oracle
from pycnn.runtime.backends import executor
from pycnn.runtime.plan import ArraySpec, Buffer, Plan

#: Every version for all dtypes as (algo, tile); test_gemm_tensor_core.py has the one for 16 bits.
RUNGS = [(algo, None) for algo in algorithms_of("float64") if algo != "double_buffered"]
RUNGS += [("double_buffered", (64, 64)), ("double_buffered", (128, 128))]

#: More than one tile of every rung in each direction, and a multiple of none.
M, N, K = 131, 139, 37

LAYOUTS = ("contiguous", "padded", "misaligned", "stepped", "reversed", "repeated")

each_rung = pytest.mark.parametrize("rung", RUNGS, ids=lambda r: r[0] + str(r[1] or ""))
each_dtype = pytest.mark.parametrize("dtype", FLOATING)
TRANSPOSES = [(False, False), (False, True), (True, False), (True, True)]
each_transpose = pytest.mark.parametrize("transposes", TRANSPOSES, ids=str)
#: Every instruction of memory: elements of 2, 4 and 8 bytes.
each_size = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
#: All dtypes, but a file is compiled for every combination, and takes its time.
each_combination = pytest.mark.parametrize(
    ("dtype", "transposes"),
    [(dtype, t) for dtype in ("float16", "float32") for t in TRANSPOSES]
    + [("float64", (True, False)), ("bfloat16", (False, True))],
    ids=str,
)
#: The backends that launch kernels.
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)


def operand(rng, shape, dtype, layout="contiguous", transposed=False):
    """A random matrix, or a batch of them, whose last two axes lie in memory as `layout` says."""
    if transposed:
        return operand(rng, (*shape[:-2], shape[-1], shape[-2]), dtype, layout).swapaxes(-1, -2)
    if layout == "contiguous":
        return _random(rng, shape, dtype)
    *batch, rows, cols = shape
    if layout in ("padded", "misaligned"):  # vectors fit the strides, not the extent
        pitch = (cols // 8 + 2) * 8
        start = 1 if layout == "misaligned" else 0
        flat = _random(rng, (np.prod(batch, dtype=int) * rows * pitch + start,), dtype)
        return flat[start:].reshape(*batch, rows, pitch)[..., :cols]
    if layout == "stepped":
        return _random(rng, (*batch, rows * 2, cols * 3), dtype)[..., ::2, ::3]
    if layout == "reversed":
        return _random(rng, shape, dtype)[..., ::-1, ::-1]
    return np.broadcast_to(_random(rng, (*batch, 1, cols), dtype), shape)  # repeated


def launch(backend, rung, a, b, *, c=None, channel="col", activation=None, accumulate=False, **end):
    """C of one launch, for 2-D operands; `c` is where it lies, to be filled or added to.

    `end` holds the arrays of the epilogue: bias, scale and shift by channel, residual as C.
    """
    (m, k), n = a.shape, b.shape[1]
    c = np.full((m, n), np.nan, a.dtype) if c is None else c
    steps = {name: _elements(end[name])[0] for name in ("bias", "scale", "shift") if name in end}
    residual = {"residual": (0, 0, 0, 0)} if "residual" in end else {}
    problem = Gemm(
        m,
        n,
        k,
        a.dtype.name,
        a=(0, 0, *_elements(a)),
        b=(0, 0, *_elements(b)),
        c=(0, 0, *_elements(c)),
        epilogue=Epilogue(**steps, **residual, activation=activation, slope=0.125),
        channel=channel,
        residual=(0, 0, *_elements(end["residual"])) if residual else (0, 0, 0, 0),
        accumulate=accumulate,
    )
    return execute(backend, rung, problem, {"a": a, "b": b, "c": c, **end})


def execute(backend, rung, problem, arrays, offsets=None):
    """The array c after one launch of `problem` by `rung`, as NumPy."""
    algo, tile = rung
    at = [Buffer(x, (offsets or {}).get(x, 0)) for x in "abc"]
    residual = (offsets or {}).get("residual", 0)
    step = gemm_launch(problem, *at, algo=algo, tile=tile, residual_offset=residual)
    whole = arrays["c"]
    plan = Plan("gemm", algo, (step,), {"c": ArraySpec(whole.shape, whole.dtype)})
    given = {x: backend.array(array) for x, array in arrays.items()}
    runner = executor("cuda" if backend.name == "cuda" else "emulator")
    return backend.numpy(runner.run(plan, given, {"c": given.pop("c")})["c"])


def expected(a, b, *, c=None, channel="col", activation=None, **end):
    """The oracle's activation((A B + C + bias) scale + shift + residual)."""
    y = oracle(a, b)
    wide = {name: np.asarray(array, np.float64) for name, array in end.items()}
    by_channel = {x: w[:, None] if channel == "row" else w for x, w in wide.items()}
    y = y if c is None else y + c.astype(np.float64)
    y = y + by_channel.get("bias", 0)
    y = y * by_channel.get("scale", 1) + by_channel.get("shift", 0) + wide.get("residual", 0)
    return ACTIVATIONS[activation](y)


#: By their definitions; NaN stays NaN.
ACTIVATIONS = {
    None: lambda y: y,
    "relu": lambda y: np.where(y < 0, 0, y),
    "relu6": lambda y: np.where(y < 0, 0, np.where(y > 6, 6, y)),
    "leaky_relu": lambda y: np.where(y < 0, y / 8, y),
    "silu": lambda y: y / (1 + np.exp(-y)),
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
}


def _random(rng, shape, dtype):
    return rng.standard_normal(shape).astype(numpy_dtype(dtype))


def _elements(array):
    return tuple(s // array.itemsize for s in array.strides)
