"""How far a result may lie from the float64 oracle: the one table.

A sum of n products in precision eps is off by about sqrt(n) roundings of its largest partial
sum when the terms have random signs (Higham, *Accuracy and Stability of Numerical Algorithms*,
section 2.8), and every operation adds a few roundings of its own. The bound is taken relative to
the largest finite magnitude of the expected result, since single elements may cancel to zero.
"""

import numpy as np

#: dtype -> roundings allowed whatever the length, and per square root of the reduction length.
ROUNDINGS = {"float32": (8.0, 4.0), "float64": (8.0, 4.0)}


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
    actual: np.ndarray, expected: np.ndarray, dtype: np.typing.DTypeLike, reduction: int = 1
) -> tuple[float, float]:
    """Largest absolute error of `actual` and the tolerance it must stay within.

    NaN and infinities must agree exactly in place and sign; where they do not, the error is
    infinite, so one comparison of the two numbers tells right from wrong.

    Returns
    -------
    (error, allowed) : tuple of float
    """
    if actual.shape != expected.shape:
        return float("inf"), 0.0
    want = np.asarray(expected, np.float64)
    got = np.asarray(actual, np.float64)
    finite = np.isfinite(want)
    scale = float(np.abs(want[finite]).max(initial=0.0))
    allowed = tolerance(dtype, reduction, max(scale, float(np.finfo(np.float32).tiny)))
    if not np.array_equal(want[~finite], got[~finite], equal_nan=True):
        return float("inf"), allowed
    difference = np.abs(got[finite] - want[finite])
    if np.isnan(difference).any():
        return float("inf"), allowed
    return float(difference.max(initial=0.0)), allowed
