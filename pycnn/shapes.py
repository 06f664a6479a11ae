"""The one formula for the extent of a sliding-window output, and division rounded up."""


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up.

    Examples
    --------
    >>> ceil_div(7, 2), ceil_div(8, 2), ceil_div(-7, 2), ceil_div(2**60 + 1, 2**30)
    (4, 4, -3, 1073741825)
    """
    return -(-a // b)


def conv_out(
    extent: int,
    pad_lo: int,
    pad_hi: int,
    kernel: int,
    stride: int,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Number of window positions along one axis.

    With ``ceil_mode`` a last, partial window is counted as long as it starts inside the input
    or its leading padding (PyTorch's rule), so no window lies wholly in the trailing padding.

    Parameters
    ----------
    extent : int
        Input extent along the axis.
    pad_lo, pad_hi : int
        Padding before and after.
    kernel, stride, dilation : int
        Window extent, step and tap distance, each at least 1.
    ceil_mode : bool, default False
        Round the division up instead of down.

    Returns
    -------
    int
        Output extent; zero or negative when the window does not fit.

    Examples
    --------
    >>> conv_out(224, 3, 3, 7, 2)
    112
    >>> conv_out(6, 0, 0, 3, 2, ceil_mode=True)
    3
    """
    span = extent + pad_lo + pad_hi - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1 if span >= 0 else 0
    positions = ceil_div(span, stride) + 1
    last_start = (positions - 1) * stride
    return positions - 1 if last_start >= extent + pad_lo else positions


def same_padding(
    extent: int, kernel: int, stride: int, dilation: int = 1, odd_before: bool = False
) -> tuple[int, int]:
    """Padding with which a sliding window gives ceil(extent / stride) positions.

    Parameters
    ----------
    extent, kernel, stride, dilation : int
        As for `conv_out`.
    odd_before : bool, default False
        Whether an odd one goes before (ONNX's SAME_LOWER) instead of after (SAME_UPPER).

    Returns
    -------
    (int, int)
        Before and after.

    Examples
    --------
    >>> same_padding(7, 3, 2), same_padding(8, 3, 2), same_padding(8, 3, 2, odd_before=True)
    ((1, 1), (0, 1), (1, 0))
    """
    span = dilation * (kernel - 1) + 1
    total = max((ceil_div(extent, stride) - 1) * stride + span - extent, 0)
    less, more = total // 2, total - total // 2
    return (more, less) if odd_before else (less, more)
