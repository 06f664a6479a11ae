"""Matrix product with optional transposition, bias and ReLU."""

import numpy as np


def gemm(
    a: np.ndarray,
    b: np.ndarray,
    bias: np.ndarray | None = None,
    relu: bool = False,
    transpose_a: bool = False,
    transpose_b: bool = False,
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

    Returns
    -------
    array (M, N) or (B, M, N), float64

    Examples
    --------
    >>> gemm(np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]]), transpose_b=True).tolist()
    [[1.0]]
    """
    a = a.astype(np.float64).swapaxes(-1, -2) if transpose_a else a.astype(np.float64)
    b = b.astype(np.float64).swapaxes(-1, -2) if transpose_b else b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        y = a @ b
    if bias is not None:
        y = y + bias.astype(np.float64)
    return np.where(y < 0, 0.0, y) if relu else y


def scaled_mm(
    a: np.ndarray,
    b: np.ndarray,
    scale_a: np.ndarray,
    scale_b: np.ndarray,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """scale_a scale_b (a @ b) + bias of operands of any dtype, in float64."""
    y = np.einsum("mk,kn->mn", a.astype("f8"), b.astype("f8"))
    y = y * float(scale_a.reshape(())) * float(scale_b.reshape(()))
    return y if bias is None else y + bias.astype("f8")
