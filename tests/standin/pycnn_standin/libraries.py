"""What NumPy does in place of cuFFT and cuBLAS."""

import ctypes
from math import prod
from typing import Any

import numpy as np

_Three = ctypes.c_int * 3


class Transform(ctypes.Structure):
    """``standin::Transform``."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("type", "rank", "batch")),
        ("n", _Three),
        *(("from_embed", _Three), ("from_stride", ctypes.c_int), ("from_distance", ctypes.c_int)),
        *(("to_embed", _Three), ("to_stride", ctypes.c_int), ("to_distance", ctypes.c_int)),
    )


class Product(ctypes.Structure):
    """``standin::Product``."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("transpose_a", "transpose_b", "m", "n", "k")),
        *((name, ctypes.c_int) for name in ("type_a", "lda", "type_b", "ldb", "type_c", "ldc")),
        ("compute", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("alpha", "a", "b", "beta", "c")),
    )


#: By cufftType: dtypes of source and target.
_TRANSFORMS = {
    0x29: ("complex64", "complex64"),
    0x2A: ("float32", "complex64"),
    0x2C: ("complex64", "float32"),
    0x69: ("complex128", "complex128"),
    0x6A: ("float64", "complex128"),
    0x6C: ("complex128", "float64"),
}
_FORWARD = -1


def transform(plan: Transform, source: int, target: int, direction: int) -> None:
    """Carry out a plan of cuFFT, which scales nothing."""
    given, made = _TRANSFORMS[plan.type]
    n = tuple(plan.n[: plan.rank])
    half = (*n[:-1], n[-1] // 2 + 1)
    axes = tuple(range(1, plan.rank + 1))
    to_real, from_real = made[0] == "f", given[0] == "f"
    x = _side(plan, "from", source, half if to_real else n, given)
    y = _side(plan, "to", target, half if from_real else n, made)
    if from_real:
        y[...] = np.fft.rfftn(x, axes=axes)
    elif to_real:
        y[...] = np.fft.irfftn(x, s=n, axes=axes, norm="forward")
        if plan.rank > 1 and source != target:
            x[...] = complex(np.nan, np.nan)  # cuFFT uses it for what lies between
    elif direction == _FORWARD:
        y[...] = np.fft.fftn(x, axes=axes)
    else:
        y[...] = np.fft.ifftn(x, axes=axes, norm="forward")


def _side(
    plan: Transform, side: str, address: int, shape: tuple[int, ...], dtype: str
) -> np.ndarray:
    """Source or target of a plan: every transform of the batch."""
    embed = tuple(getattr(plan, f"{side}_embed")[: plan.rank])
    stride = getattr(plan, f"{side}_stride")
    steps = [stride * prod(embed[i + 1 :]) for i in range(plan.rank)]
    distance = getattr(plan, f"{side}_distance")
    return _memory(address, (plan.batch, *shape), (distance, *steps), dtype)


#: cudaDataType, and the cublasComputeType_t that computes in double precision.
_TYPES = {0: "float32", 1: "float64", 2: "float16"}
_DOUBLE = (70, 71)

#: Multiplications of a product that is still computed: nobody can wait for a larger one here.
LARGEST_PRODUCT = 1 << 32


def product(call: Product) -> None:
    """Carry out a cublasGemmEx; a larger one than `LARGEST_PRODUCT` gives NaN."""
    dtype = np.float64 if call.compute in _DOUBLE else np.float32
    c = _matrix(call.c, call.m, call.n, call.ldc, call.type_c)
    if call.m * call.n * call.k > LARGEST_PRODUCT:
        c[...] = np.nan
        return
    a = _operand(call.a, call.m, call.k, call.lda, call.type_a, call.transpose_a).astype(dtype)
    b = _operand(call.b, call.k, call.n, call.ldb, call.type_b, call.transpose_b).astype(dtype)
    alpha, beta = (_memory(at, (1,), (1,), dtype)[0] for at in (call.alpha, call.beta))
    result = alpha * (a @ b)
    c[...] = result + beta * c if beta else result  # beta = 0 reads nothing


def _operand(
    address: int, rows: int, columns: int, leading: int, kind: int, transposed: int
) -> np.ndarray:
    if transposed:
        return _matrix(address, columns, rows, leading, kind).T
    return _matrix(address, rows, columns, leading, kind)


def _matrix(address: int, rows: int, columns: int, leading: int, kind: int) -> np.ndarray:
    return _memory(address, (rows, columns), (1, leading), _TYPES[kind])


def _memory(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any
) -> np.ndarray:
    """An array over memory of this process; strides are in elements."""
    size = np.dtype(dtype).itemsize
    extent = size * (1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)))
    buffer = (ctypes.c_char * extent).from_address(address)
    return np.ndarray(shape, dtype, buffer, strides=[size * s for s in strides])
