"""Sampling at the points of a grid, and its gradients."""

from typing import Any

from pycnn.define.grid_sample import GRID_SAMPLE, GRID_SAMPLE_BACKWARD
from pycnn.define.public import operation


@operation(GRID_SAMPLE)
def grid_sample(
    x: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
    *,
    out: Any = None,
) -> Any:
    """x at the points of a grid, by the nearest element, by linear or by cubic interpolation.

    Parameters
    ----------
    x : array (N, C, H, W) or (N, C, D, H, W); any floating dtype
        Any strides.
    grid : array (N, P, Q, 2) or (N, O, P, Q, 3), dtype of `x`
        Coordinates of every point along W, H (and D): -1 is one end of the axis, 1 the other. Any
        strides.
    mode : {"bilinear", "nearest", "bicubic"}, default "bilinear"
        ``"bilinear"`` is trilinear in a volume; ``"nearest"`` takes, of two as near, the one of
        even number; ``"bicubic"`` is Keys' cubic with a = -3/4, in a plane.
    padding_mode : {"zeros", "border", "reflection"}, default "zeros"
        What is outside: zeros, the outermost elements, or `x` reflected as often as needed.
    align_corners : bool, optional
        Whether the ends of an axis are the centres of its outermost elements, instead of their
        outer edges. By default they are not.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, P, Q) or (N, C, O, P, Q)
        Coordinates are computed in float64. One that is not a number is outside, or where there is
        no outside at the first element.

    References
    ----------
    `torch.nn.functional.grid_sample`. M. Jaderberg et al.: Spatial transformer networks, 2015.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[[0.0, 4.0]]]])
    >>> grid = np.array([[[[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]]])
    >>> pycnn.grid_sample(x, grid)
    array([[[[2., 4., 2.]]]])
    >>> pycnn.grid_sample(x, grid, align_corners=True)
    array([[[[2., 3., 4.]]]])
    """


@operation(GRID_SAMPLE_BACKWARD)
def grid_sample_backward(
    dy: Any,
    x: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> tuple[Any, Any]:
    """Gradients of `grid_sample` with respect to `x` and to `grid`.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (N, C, O, P, Q), dtype of `x`
        Gradient with respect to the result of `grid_sample`. Any strides.
    x, grid, mode, padding_mode, align_corners
        As `grid_sample` was given.

    Returns
    -------
    (dx, dgrid) : arrays like `x` and `grid`
        Every element of dx is a sum in the order of the points, the same in every run. Where
        padding holds a coordinate at the border, and with ``mode="nearest"``, dgrid is zero.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, grid = np.array([[[[0.0, 4.0]]]]), np.array([[[[0.0, 0.0]]]])
    >>> dx, dgrid = pycnn.grid_sample_backward(np.ones((1, 1, 1, 1)), x, grid)
    >>> dx.tolist(), dgrid.tolist()
    ([[[[0.5, 0.5]]]], [[[[4.0, -1.0]]]])
    """
