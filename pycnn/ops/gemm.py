"""Matrix product: validate, plan, launch."""

from typing import Any

from pycnn.define import out as _out
from pycnn.define.validate import (
    boolean,
    check_float,
    check_rank,
    check_shape,
    choice,
    element_strides,
)
from pycnn.plan import gemm as plans
from pycnn.reference.cpu import gemm as cpu
from pycnn.runtime.backends import backend_for, executor

ALGORITHMS = ("auto", *plans.algorithms)


def gemm(
    a: Any,
    b: Any,
    bias: Any = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    relu: bool = False,
    algo: str = "auto",
    out: Any = None,
) -> Any:
    """Matrix product a @ b + bias, through ReLU if asked.

    Parameters
    ----------
    a : array (M, K) or (B, M, K), float32 or float64
        Any strides: views are read where they lie.
    b : array (K, N) or (B, K, N)
        Of as many axes as `a`.
    bias : array (N,) or (M, 1), optional
        One value for each column, or one for each row.
    transpose_a, transpose_b : bool, default False
        Take `a` as (K, M), `b` as (N, K), with the batch in front.
    relu : bool, default False
        Finish with max(x, 0), in which NaN stays NaN.
    algo : str, default "auto"
        A rung of the ladder: ``"naive"``, ``"coalesced"``, ``"shared_tile"``,
        ``"register_tile"``, ``"vectorised"``, ``"double_buffered"``; ``"auto"`` takes the one that
        suits the shape. The backend ``reference`` has one algorithm, its BLAS.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (M, N) or (B, M, N), dtype of `a`
        With K = 0, the bias or zeros.

    Raises
    ------
    TypeError
        If an argument is no NumPy or CuPy array, dtypes are mixed or neither float32 nor float64,
        or a flag is no bool.
    ValueError
        If shapes do not fit, `algo` is none of the above, or `out` cannot take the result.

    References
    ----------
    J. Dongarra, J. Du Croz, S. Hammarling, I. Duff: A set of level 3 basic linear algebra
    subprograms, ACM TOMS 16(1), 1990.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [-5.0, 6.0]])
    >>> pycnn.gemm(a, b)
    array([[-7., 16.]])
    >>> pycnn.gemm(a, b, np.array([1.0, 1.0]), relu=True)
    array([[ 0., 17.]])
    """
    backend = backend_for(a=a, b=b, bias=bias, out=out)
    dtype = check_float(a=a, b=b, bias=bias)
    transpose_a = boolean("transpose_a", transpose_a)
    transpose_b = boolean("transpose_b", transpose_b)
    relu = boolean("relu", relu)
    choice("algo", algo, ALGORITHMS)
    check_rank("a", a, (2, 3), "(M, K) or (B, M, K), the last two swapped by transpose_a")
    check_rank("b", b, (a.ndim,), "as many axes as a")
    seen_a = a.swapaxes(-1, -2) if transpose_a else a
    seen_b = b.swapaxes(-1, -2) if transpose_b else b
    *batch, m, k = seen_a.shape
    n = seen_b.shape[-1]
    if seen_b.shape[:-1] != (*batch, k):
        allowed = ", ".join(map(str, (*batch, *(("N", k) if transpose_b else (k, "N")))))
        raise ValueError(
            f"b has shape {b.shape}; allowed: ({allowed}) with transpose_b={transpose_b}, for a of "
            f"shape {a.shape} with transpose_a={transpose_a}"
        )
    kind, step = _bias(bias, m, n)
    strides = element_strides("a", seen_a), element_strides("b", seen_b)
    _out.check(out, (*batch, m, n), dtype, a=a, b=b, bias=bias)
    if backend == "reference":
        return cpu.gemm(seen_a, seen_b, bias, relu, out=out)
    plan = plans.plan_gemm(
        seen_a.shape, strides[0], seen_b.shape, strides[1], dtype.name, kind, step, relu, algo
    )
    arrays = {"a": a, "b": b} if bias is None else {"a": a, "b": b, "bias": bias}
    return executor(backend).run(plan, arrays, _out.given("c", out))["c"]


def _bias(bias: Any, m: int, n: int) -> tuple[str | None, int]:
    """Whether the bias runs along the columns or the rows, and its stride."""
    if bias is None:
        return None, 0
    check_rank("bias", bias, (1, 2), "(N,), one value per column, or (M, 1), one per row")
    if bias.ndim == 1:
        check_shape("bias", bias.shape, (n,), "one value per column")
    else:
        check_shape("bias", bias.shape, (m, 1), "one value per row")
    return "col" if bias.ndim == 1 else "row", element_strides("bias", bias)[0]
