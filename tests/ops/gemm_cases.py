"""What the tests of the matrix product share: operands of every layout, single launches."""

import numpy as np
import pytest

from pycnn.plan.gemm import Gemm, algorithms, gemm_launch
from pycnn.reference.oracle.gemm import gemm as oracle
from pycnn.runtime.backends import executor
from pycnn.runtime.plan import ArraySpec, Buffer, Plan

#: Every kernel of the ladder as (algo, tile).
RUNGS = [(algo, None) for algo in algorithms if algo != "double_buffered"]
RUNGS += [("double_buffered", 64), ("double_buffered", 128)]

#: More than one tile of every rung in each direction, and a multiple of none.
M, N, K = 131, 139, 37

LAYOUTS = ("contiguous", "padded", "misaligned", "stepped", "reversed", "repeated")

each_rung = pytest.mark.parametrize("rung", RUNGS, ids=lambda r: r[0] + str(r[1] or ""))
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_transpose = pytest.mark.parametrize(
    "transposes", [(False, False), (False, True), (True, False), (True, True)], ids=str
)
#: The backends that launch kernels.
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)


def operand(rng, shape, dtype, layout="contiguous", transposed=False):
    """A random matrix, or a batch of them, whose last two axes lie in memory as `layout` says."""
    if transposed:
        return operand(rng, (*shape[:-2], shape[-1], shape[-2]), dtype, layout).swapaxes(-1, -2)
    *batch, rows, cols = shape
    if layout in ("padded", "misaligned"):  # vectors fit the strides, not the extent
        pitch = (cols // 4 + 2) * 4
        start = 1 if layout == "misaligned" else 0
        flat = _random(rng, (np.prod(batch, dtype=int) * rows * pitch + start,), dtype)
        return flat[start:].reshape(*batch, rows, pitch)[..., :cols]
    if layout == "stepped":
        return _random(rng, (*batch, rows * 2, cols * 3), dtype)[..., ::2, ::3]
    if layout == "reversed":
        return _random(rng, shape, dtype)[..., ::-1, ::-1]
    if layout == "repeated":
        return np.broadcast_to(_random(rng, (*batch, 1, cols), dtype), shape)
    return _random(rng, shape, dtype)


def launch(backend, rung, a, b, *, c=None, bias=None, kind=None, **options):
    """C of one launch, for 2-D operands; `c` is what it starts from, to be filled or added to."""
    (m, k), n = a.shape, b.shape[1]
    c = np.full((m, n), np.nan, a.dtype) if c is None else c.copy()
    problem = Gemm(
        m,
        n,
        k,
        a.dtype.name,
        a=(0, 0, *_elements(a)),
        b=(0, 0, *_elements(b)),
        c=(0, 0, *_elements(c)),
        bias=kind,
        bias_step=1 if bias is None else _elements(bias)[0],
        **options,
    )
    return execute(backend, rung, problem, {"a": a, "b": b, "bias": bias, "c": c})


def execute(backend, rung, problem, arrays, offsets=None):
    """The array c after one launch of `problem` by `rung`, as NumPy."""
    algo, tile = rung
    names = "a", "b", "c", "bias"
    at = [Buffer(x, (offsets or {}).get(x, 0)) for x in names if arrays.get(x) is not None]
    step = gemm_launch(problem, *at, algo=algo, tile=tile)
    whole = arrays["c"]
    plan = Plan("gemm", algo, (step,), {"c": ArraySpec(whole.shape, whole.dtype)})
    given = {x: backend.array(arrays[x]) for x in names if arrays.get(x) is not None}
    runner = executor("cuda" if backend.name == "cuda" else "emulator")
    return backend.numpy(runner.run(plan, given, {"c": given.pop("c")})["c"])


def expected(a, b, bias=None, kind=None, relu=False, c=None):
    """The oracle's C = relu(A B + bias + C)."""
    y = oracle(a, b, None if bias is None else bias[:, None] if kind == "row" else bias)
    y = y if c is None else y + c
    return np.where(y < 0, 0.0, y) if relu else y


def _random(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def _elements(array):
    return tuple(s // array.itemsize for s in array.strides)
