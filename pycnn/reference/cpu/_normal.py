"""Distribution function of the standard normal distribution: NumPy has no error function.

erfc(z) exp(z^2) is smooth in t = 2 / (2 + z), and so a short Chebyshev series there. Its
coefficients are those of the polynomial that meets `math.erfc` in the Chebyshev nodes.
"""

import functools
import math

import numpy as np
from numpy.polynomial import chebyshev

#: Largest argument of erfc whose result is a normal float64.
LARGEST = 26.0

#: Degree of the series, by the size of an element.
DEGREE = {4: 9, 8: 24}


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Probability that a standard normal variable is at most x.

    Parameters
    ----------
    x : array, float32 or float64

    Returns
    -------
    array like x
        Its relative error is small where it is tiny, too.

    Examples
    --------
    >>> normal_cdf(np.array([-1.0, 0.0, 1.0])).round(6).tolist()
    [0.158655, 0.5, 0.841345]
    """
    z = np.abs(x) * x.dtype.type(math.sqrt(0.5))
    t = 2 / (2 + z)
    tail = chebyshev.chebval(_unit(t), _series(x.dtype)) * t * np.exp(-x * x / 2)
    return np.where(x > 0, 1 - tail, tail)


def _unit(t: np.ndarray) -> np.ndarray:
    """From the range of t to [-1, 1]."""
    low = 2 / (2 + LARGEST)
    return np.maximum((2 * t - (1 + low)) / (1 - low), -1)


@functools.cache
def _series(dtype: np.dtype) -> np.ndarray:
    """Coefficients of erfc(z) exp(z^2) / (2 t) over _unit(t).

    Their sums are rounded once: errors of `chebinterpolate` would show in the last digits.
    """
    nodes = DEGREE[dtype.itemsize] + 1
    angles = [math.pi * (k + 0.5) / nodes for k in range(nodes)]
    values = [_scaled_tail(math.cos(angle)) for angle in angles]
    sums = [
        math.fsum(v * math.cos(k * a) for v, a in zip(values, angles, strict=True))
        for k in range(nodes)
    ]
    return np.array([sums[0] / nodes, *(2 * s / nodes for s in sums[1:])], dtype)


def _scaled_tail(unit: float) -> float:
    low = 2 / (2 + LARGEST)
    t = (unit * (1 - low) + 1 + low) / 2
    z = 2 / t - 2
    head = float(np.float32(z))  # its square is exact, that of z is not
    return math.erfc(z) * math.exp(head * head) * math.exp((z - head) * (z + head)) / (2 * t)
