"""Interpolation to other spatial extents, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.public import operation
from pycnn.define.resize import INTERPOLATE, INTERPOLATE_BACKWARD

Factor = float | Sequence[float]


@operation(INTERPOLATE)
def interpolate(
    x: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    coordinate_mode: str | None = None,
    nearest_mode: str | None = None,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Other spatial extents, by the nearest element, by linear or by cubic interpolation.

    Parameters
    ----------
    x : array (N, C, W), (N, C, H, W) or (N, C, D, H, W); any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    size : int or sequence of int, optional
        Spatial extents of the result; one for all axes, or one for each.
    scale_factor : float or sequence of float, optional
        Instead of `size`: extents are multiplied by it and rounded down.
    mode : str, default "nearest"
        ``"linear"``, ``"bilinear"`` and ``"trilinear"`` take 1, 2 and 3 spatial axes, ``"bicubic"``
        two; it has Keys' cubic with a = -3/4. ``"nearest"`` rounds asymmetric coordinates down,
        ``"nearest-exact"`` rounds those of pixel centres.
    align_corners : bool, optional
        For linear and cubic modes: whether the centres of the first and last elements coincide,
        instead of the outer edges. By default they do not.
    recompute_scale_factor : bool, optional
        Whether coordinates follow from the extents rather than from `scale_factor` as given.
    antialias : bool, default False
        For bilinear and bicubic: whether to average, where the result is smaller, over everything
        that becomes one element, by a triangle or Keys' cubic with a = -1/2, as Pillow does.
    coordinate_mode : str, optional
        ONNX's name of the coordinates, instead of the above: ``"half_pixel"``, ``"asymmetric"``,
        ``"align_corners"``, ``"pytorch_half_pixel"`` or ``"half_pixel_symmetric"``.
    nearest_mode : str, optional
        ONNX's name of the rounding for ``mode="nearest"``: ``"round_prefer_floor"``,
        ``"round_prefer_ceil"``, ``"floor"`` (default) or ``"ceil"``.
    layout : {"NCHW", "NHWC"}, default "NCHW"
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, ...) in the layout of `x`
        Coordinates are computed in float64 and with one rounding where it matters, so that
        ``"nearest"`` picks the right element where PyTorch's float32 product may miss it.

    References
    ----------
    `torch.nn.functional.interpolate`; operator Resize of ONNX, opset 19. R. Keys: Cubic convolution
    interpolation for digital image processing, IEEE Transactions on Acoustics, Speech, and Signal
    Processing 29, 1981.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[0.0, 4.0]]])
    >>> pycnn.interpolate(x, scale_factor=2, mode="linear")
    array([[[0., 1., 3., 4.]]])
    >>> pycnn.interpolate(x, size=4, mode="linear", align_corners=True).round(2)
    array([[[0.  , 1.33, 2.67, 4.  ]]])
    """


@operation(INTERPOLATE_BACKWARD)
def interpolate_backward(
    dy: Any,
    input_size: int | Sequence[int],
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    coordinate_mode: str | None = None,
    nearest_mode: str | None = None,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `interpolate` with respect to `x`.

    Parameters
    ----------
    dy : array (N, C, ...) with 1 to 3 spatial axes; any floating dtype
        Gradient with respect to the result of `interpolate`. Any strides.
    input_size : int or sequence of int
        Spatial extents of `x`.
    scale_factor, mode, align_corners, recompute_scale_factor, antialias
        As `interpolate` was given.
    coordinate_mode, nearest_mode, layout
        As `interpolate` was given.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, ...) in the layout of `dy`
        Each element a sum in the order of dy.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.interpolate_backward(np.array([[[1.0, 10.0, 100.0, 1000.0]]]), 2)
    array([[[  11., 1100.]]])
    """
