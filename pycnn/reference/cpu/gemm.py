"""Matrix product with optional transposition, bias and ReLU on the CPU: the BLAS."""

import math

import numpy as np

from pycnn.reference.cpu._common import quiet


@quiet
def gemm(
    a: np.ndarray,
    b: np.ndarray,
    bias: np.ndarray | None = None,
    relu: bool = False,
    transpose_a: bool = False,
    transpose_b: bool = False,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """a @ b + bias, through ReLU if asked; batched over the leading axis when 3-D.

    Parameters
    ----------
    a : array (M, K) or (B, M, K); (K, M) with `transpose_a`
    b : array (K, N) or (B, K, N); (N, K) with `transpose_b`
    bias : array or None, default None
        Added by NumPy's broadcasting: (N,) is one value per column, (M, 1) one per row.
    relu : bool, default False
    transpose_a, transpose_b : bool, default False
    out : array (M, N) or (B, M, N), default None
        Where to put the result.

    Returns
    -------
    array (M, N) or (B, M, N), dtype of a

    Examples
    --------
    >>> gemm(np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]]), transpose_b=True).tolist()
    [[1.0]]
    """
    y = np.matmul(
        a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b, out=out
    )
    if bias is not None:
        y += bias
    return np.maximum(y, y.dtype.type(0), out=y) if relu else y


@quiet
def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b over broadcast batch axes, of any ranks from 1 on.

    Examples
    --------
    >>> matmul(np.array([1.0, 2.0]), np.array([3.0, -1.0])).tolist()
    1.0
    """
    return np.asarray(np.matmul(a, b))


@quiet
def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """x (..., in) times weight (out, in) transposed, plus bias (out,): one product of matrices.

    Examples
    --------
    >>> linear(np.array([1.0, 2.0]), np.array([[3.0, -1.0]]), np.array([4.0])).tolist()
    [5.0]
    """
    sums = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) @ weight.T
    if bias is not None:
        sums += bias
    return sums.reshape(*x.shape[:-1], weight.shape[0])
