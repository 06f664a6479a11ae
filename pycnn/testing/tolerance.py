"""How far a result may lie from the float64 oracle: the one table.

A sum of n products in precision eps is off by about sqrt(n) roundings of its largest partial
sum when the terms have random signs (Higham, *Accuracy and Stability of Numerical Algorithms*,
section 2.8), and every operation adds a few roundings of its own. The bound is taken relative to
the largest finite magnitude of the expected result, since single elements may cancel to zero.

float16 and bfloat16 are computed in float32 and rounded once: their results may be off by that one
rounding, element by element, and beyond it by no more than float32 itself.
"""

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype

#: dtype -> roundings allowed whatever the length, and per square root of the reduction length.
ROUNDINGS = {"float32": (8.0, 4.0), "float64": (8.0, 4.0)}

#: Roundings allowed of factors that are rounded to less than the dtype.
COARSE = 8.0

#: Bits of the significand, the leading one among them.
_PRECISION = {"float16": 11, "bfloat16": 8}


def tolerance(dtype: np.typing.DTypeLike, reduction: int = 1, scale: float = 1.0) -> float:
    """Largest absolute error allowed.

    Parameters
    ----------
    dtype : dtype
        Precision of the computation, float32 or float64.
    reduction : int, default 1
        Number of terms summed into one element.
    scale : float, default 1.0
        Largest finite magnitude expected.

    Returns
    -------
    float

    Examples
    --------
    >>> tolerance("float32", reduction=9) > tolerance("float32")
    True
    """
    name = np.dtype(dtype).name
    if name not in ROUNDINGS:
        raise ValueError(f"dtype={name}: allowed are {', '.join(ROUNDINGS)}")
    fixed, growing = ROUNDINGS[name]
    return float(np.finfo(name).eps) * (fixed + growing * max(reduction, 1) ** 0.5) * scale


def compare(
    actual: np.ndarray, expected: np.ndarray, dtype: str, reduction: int = 1, coarse: float = 0.0
) -> tuple[float, float]:
    """Largest absolute error of `actual` and the tolerance it must stay within.

    NaN and infinities must agree exactly in place and sign; where they do not, the error is
    infinite, so one comparison of the two numbers tells right from wrong. Of a 16-bit result the
    error is what exceeds one rounding to that type.

    Parameters
    ----------
    actual : array
    expected : array, float64
        From the oracle; infinite where it exceeds a 16-bit type.
    dtype : str
        Of the computation.
    reduction : int, default 1
        Number of terms summed into one element.
    coarse : float, default 0.0
        Spacing at 1 of what factors are rounded to, if that is beyond `dtype`: `COARSE` of those
        are allowed besides, relative to the largest magnitude expected.

    Returns
    -------
    (error, allowed) : tuple of float
    """
    if actual.shape != expected.shape:
        return float("inf"), 0.0
    name = np.dtype(dtype).name if dtype != "bfloat16" else dtype
    want = np.asarray(expected, np.float64)
    got = np.asarray(actual).astype(np.float64)
    rounded = want
    if FLOATS[name].is_half:
        with np.errstate(over="ignore"):
            rounded = want.astype(numpy_dtype(name)).astype(np.float64)
    finite = np.isfinite(rounded) & np.isfinite(want)
    scale = float(np.abs(want[finite]).max(initial=0.0))
    scale = max(scale, float(np.finfo(np.float32).tiny))
    allowed = tolerance(FLOATS[name].accumulate, reduction, scale) + COARSE * coarse * scale
    if not np.array_equal(rounded[~finite], got[~finite], equal_nan=True):
        return float("inf"), allowed
    difference = np.abs(got[finite] - want[finite])
    if FLOATS[name].is_half:
        difference = difference - _half_spacing(name, got[finite], want[finite])
    if np.isnan(difference).any():
        return float("inf"), allowed
    return max(0.0, float(difference.max(initial=0.0))), allowed


def _half_spacing(dtype: str, got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Half the distance of neighbours in a 16-bit type: the largest error of one rounding."""
    largest = np.maximum(np.abs(got), np.abs(want))
    exponent = np.frexp(np.maximum(largest, FLOATS[dtype].tiny))[1]
    return np.ldexp(0.5, exponent - _PRECISION[dtype])
