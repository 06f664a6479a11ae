"""Two-dimensional convolution and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv import CONV2D, CONV2D_BACKWARD
from pycnn.define.public import Extent, operation


@operation(CONV2D)
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    scale: Any = None,
    shift: Any = None,
    residual: Any = None,
    activation: str | None = None,
    negative_slope: float = 0.01,
    layout: str = "NCHW",
    algo: str = "auto",
    out: Any = None,
) -> Any:
    """Two-dimensional convolution (cross-correlation, as in PyTorch).

    ``sum[n, k, p, q] = sum over c, r, s of weight[k, c, r, s] * x[n, c, p*stride - top +
    r*dilation, q*stride - left + s*dilation]``, with c running over the channels of the group of
    k; and ``y = activation((sum + bias[k]) * scale[k] + shift[k] + residual)``, in one kernel.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides, without a copy; N may be 0. With ``layout="NHWC"``: (N, H, W, C) or (H, W, C).
    weight : array (K, C/G, R, S), dtype of `x`
        Any strides; the same in both layouts.
    bias : array (K,), dtype of `x`, optional
    stride : int or (vertical, horizontal), default 1
    padding : int, (vertical, horizontal), ((top, bottom), (left, right)) or str, default 0
        What lies around `x`. "valid" is none. "same" keeps the extent, for stride 1; where the
        padding is odd in number, one more goes below and to the right. "same_upper" gives
        ceil(extent / stride) with any stride; "same_lower" as well, with the odd one above and to
        the left (so ONNX).
    dilation : int or (vertical, horizontal), default 1
        Distance between the taps of a filter.
    groups : int, default 1
        Parts that channels and filters are split into; each filter sees the channels of its part.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What padding holds: reflections at the edge elements (less than the extent of `x`), the
        edge elements, or the other end of `x` (no more than its extent). No padded copy is made.
    scale, shift : array (K,), dtype of `x`, optional
        For every filter: such as batch normalisation with fixed statistics.
    residual : array shaped as the result, dtype of `x`, optional
        Any strides.
    activation : {None, "relu", "relu6", "leaky_relu", "silu", "sigmoid"}, default None
    negative_slope : float, default 0.01
        Of leaky_relu; any other activation refuses one that is not the default.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Order of the axes of `x`, `residual` and the result.
    algo : str, default "auto"
        A kernel algorithm, along two axes of `conv2d_algorithms`; on the reference backend only
        "auto".
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q), dtype of `x`
        In the order of `layout`. 16-bit types are summed in float32 and rounded once.

    Raises
    ------
    TypeError
        If an argument is no array of one library with one of the dtypes, or a parameter is no int.
    ValueError
        If a rank, shape or parameter is out of range, a filter does not fit in the padded input,
        `algo` cannot compute this within ``PYCNN_WORKSPACE_LIMIT``, or `out` cannot take the
        result.

    Notes
    -----
    Padding with zeros counts as zeros that are multiplied: an infinite weight over it gives NaN,
    and a NaN in `x` shows in no window but those that contain it. The algorithms ``winograd_f2``,
    ``winograd_f4`` and ``fft`` transform tiles or images, and spread it over those;
    ``implicit_gemm_tf32`` and, on sm_90a, ``implicit_gemm_wgmma_tf32`` round the factors of float32
    to 11 bits, and are taken by their names alone.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.arange(9.0).reshape(1, 3, 3)
    >>> pycnn.conv2d(x, np.ones((1, 1, 2, 2)), np.array([0.5]))
    array([[[ 8.5, 12.5],
            [20.5, 24.5]]])
    >>> pycnn.conv2d(x, np.ones((1, 1, 3, 3)), padding=1, stride=2)
    array([[[ 8., 12.],
            [20., 24.]]])
    """


@operation(CONV2D_BACKWARD)
def conv2d_backward(
    dy: Any,
    x: Any,
    weight: Any,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    layout: str = "NCHW",
    needs: Sequence[bool] = (True, True, True),
    algo: str = "auto",
) -> tuple[Any, Any, Any]:
    """Gradients of `conv2d` with respect to input, weight and bias.

    Every sum has a fixed order: the same input gives the same bits.

    Parameters
    ----------
    dy : array (N, K, P, Q) or (K, P, Q), dtype of `x`
        Gradient with respect to the sum with its bias, in the order of `layout`. Any strides.
    x, weight, stride, padding, dilation, groups, padding_mode, layout
        As given to `conv2d`.
    needs : (bool, bool, bool), default (True, True, True)
        Which of dx, dweight and dbias to compute.
    algo : str, default "auto"
        A kernel algorithm that offers both dx and dweight, as far as they are needed. (dbias is a
        sum, whatever the algorithm.)

    Returns
    -------
    dx : array shaped as `x`, or None
    dweight : array (K, C/G, R, S), or None
        Zeros for an empty batch.
    dbias : array (K,), or None

    Notes
    -----
    The algorithms that compute dx as a convolution of `dy` (``implicit_gemm`` and what begins like
    it) multiply zeros beyond the edges of `dy`: an infinite weight over them gives NaN in dx, where
    ``direct``, ``im2col`` and PyTorch add up only what there is.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.arange(9.0).reshape(1, 3, 3), np.ones((1, 1, 2, 2))
    >>> dy = np.ones((1, 2, 2))
    >>> dx, dweight, dbias = pycnn.conv2d_backward(dy, x, weight)
    >>> dx
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    >>> dweight, dbias
    (array([[[[ 8., 12.],
             [20., 24.]]]]), array([4.]))
    """
