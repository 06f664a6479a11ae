"""Products of matrices: pycnn's for floats, exact ones for integers."""

from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.operators.arrays import is_float
from pycnn.onnx.operators.registry import operator


@operator("Gemm", kernels=True)
def gemm(
    a: Any,
    b: Any,
    c: Any = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    if not is_float(a, b):
        y = np.matmul(a.T if transA else a, b.T if transB else b)
        y = y if alpha == 1 else (y * alpha).astype(a.dtype)
        return y if c is None else (y + beta * c).astype(a.dtype)
    columns = b.shape[0 if transB else 1]
    at_once = c is not None and alpha == beta == 1 and c.shape == (columns,)
    y = pycnn.gemm(a, b, c if at_once else None, transpose_a=bool(transA), transpose_b=bool(transB))
    y = y if alpha == 1 else y * a.dtype.type(alpha)
    return y if c is None or at_once else pycnn.add(y, c, alpha=beta)


@operator("MatMul", kernels=True)
def matmul(a: Any, b: Any) -> Any:
    return pycnn.matmul(a, b) if is_float(a, b) else np.matmul(a, b)


@operator("Einsum")
def einsum(*arrays: Any, equation: str) -> Any:
    wide = [a.astype(np.float32) if a.dtype.name == "bfloat16" else a for a in arrays]
    return np.einsum(equation.replace(" ", ""), *wide).astype(arrays[0].dtype, copy=False)


@operator("Det")
def det(x: Any) -> Any:
    return np.linalg.det(x).astype(x.dtype)


@operator("MatMulInteger")
def matmul_integer(a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    return np.matmul(_centred(a, a_zero, rows=True), _centred(b, b_zero, rows=False))


def _centred(x: Any, zero: Any, rows: bool) -> Any:
    wide = x.astype(np.int32)
    if zero is None:
        return wide
    zero = zero.astype(np.int32)
    return wide - (zero[..., None] if rows and zero.ndim == 1 and zero.size > 1 else zero)


@operator("QLinearMatMul")
def qlinear_matmul(
    a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any, y_zero: Any
) -> Any:
    """Exact in int32, scaled in float32, rounded half to even and saturated."""
    total = matmul_integer(a, b, a_zero, b_zero)
    rows = a_scale[..., None] if a_scale.ndim == 1 and a_scale.size > 1 else a_scale
    factor = rows.astype(np.float32) * b_scale.astype(np.float32) / y_scale.astype(np.float32)
    scaled = np.rint(total.astype(np.float32) * factor) + y_zero.astype(np.float32)
    info = np.iinfo(y_zero.dtype)
    return np.clip(scaled, info.min, info.max).astype(y_zero.dtype)
