"""The matrices of Winograd's minimal filtering algorithms, for any interpolation points.

kernels/include/pycnn/winograd.cuh applies those of `POINTS`; docs/winograd.md shows them.
"""

import numpy as np

#: Interpolation points by outputs a side, besides infinity. For 4, those of Alam, Anderson,
#: Barabasz and Gregg, "Winograd Convolution for Deep Neural Networks: Efficient Point Selection",
#: 2022: they lose a quarter to a fifth of what the customary 0, +-1, +-2 lose.
POINTS = {
    2: (0.0, 1.0, -1.0),
    4: (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)),
}


def matrices(points: tuple[float, ...], taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """G, B^T and A^T of Winograd's minimal filtering in one dimension, in float64.

    For m outputs and r taps there are m + r - 1 factors, one for each of `points` and infinity.
    y = A^T ((G g) * (B^T d)) is the correlation of d, m + r - 1 elements, with g.

    Parameters
    ----------
    points : tuple of float
        m + r - 2 different numbers.
    taps : int
        r.

    Returns
    -------
    (G, B^T, A^T) : arrays (m+r-1, r), (m+r-1, m+r-1), (m, m+r-1)

    Examples
    --------
    >>> g, b, a = matrices(POINTS[2], 3)
    >>> (a @ ((g @ [1, 2, 3]) * (b @ [1, 10, 100, 1000]))).tolist()
    [321.0, 3210.0]
    """
    at = np.array(points)
    side = len(points) + 1
    others = [np.delete(at, i) for i in range(len(points))]
    scale = np.array([np.prod(p - rest) for p, rest in zip(at, others, strict=True)])
    g, b, a = np.zeros((side, taps)), np.zeros((side, side)), np.zeros((side - taps + 1, side))
    g[:-1] = np.vander(at, taps, increasing=True) / scale[:, None]
    b[:-1, :-1] = [np.poly(rest)[::-1] for rest in others]
    b[-1] = np.poly(at)[::-1]
    a[:, :-1] = np.vander(at, len(a), increasing=True).T
    g[-1, -1] = a[-1, -1] = 1
    return g, b, a
