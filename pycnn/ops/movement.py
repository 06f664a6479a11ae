"""Elements in another place: permute, concat, split, channel_shuffle."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.movement import (
    CHANNEL_SHUFFLE,
    CONCAT,
    DEPTH_TO_SPACE,
    PERMUTE,
    PIXEL_SHUFFLE,
    PIXEL_UNSHUFFLE,
    SPACE_TO_DEPTH,
    SPLIT,
)
from pycnn.define.public import operation


@operation(PERMUTE)
def permute(
    x: Any, axes: Sequence[int] | None = None, *, dims: Sequence[int] | None = None, out: Any = None
) -> Any:
    """Axes in another order, as a contiguous copy.

    A view costs nothing (``x.transpose(axes)``), and every operation takes one; this is for what
    needs the elements themselves in that order. Its gradient is `permute` by the inverse order.

    Parameters
    ----------
    x : array of any shape; any floating dtype, int8 to int64, uint8 or bool
        Any strides.
    axes, dims : sequence of int
        Axis k of the result is axis ``axes[k]`` of `x`; negative ones count from the end. Either
        name, but one of them.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `x`
        Contiguous.

    References
    ----------
    G. Ruetsch, P. Micikevicius: Optimizing matrix transpose in CUDA, NVIDIA, 2009.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.zeros((2, 3, 28, 29), np.float32)
    >>> pycnn.permute(x, (0, 2, 3, 1)).shape
    (2, 28, 29, 3)
    """


@operation(CONCAT)
def concat(
    tensors: Sequence[Any], axis: int = 0, *, dim: int | None = None, out: Any = None
) -> Any:
    """Arrays one after the other along an axis. Its gradient is `split` by their extents.

    Parameters
    ----------
    tensors : sequence of array; any floating dtype, int8 to int64, uint8 or bool
        One or more, of one dtype and of the same shape but for `axis`. Any strides.
    axis, dim : int, default 0
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `tensors`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> branches = np.zeros((2, 64, 7, 7)), np.zeros((2, 32, 7, 7))
    >>> pycnn.concat(branches, axis=1).shape
    (2, 96, 7, 7)
    """


@operation(SPLIT)
def split(
    x: Any, split_size_or_sections: int | Sequence[int], axis: int = 0, *, dim: int | None = None
) -> tuple[Any, ...]:
    """Parts of an array along an axis, as views of it.

    Nothing is copied and nothing launched, as in PyTorch: every operation takes views, and what
    is written to a part is written to `x`. Its gradient is `concat`.

    Parameters
    ----------
    x : array of one axis or more; any floating dtype, int8 to int64, uint8 or bool
    split_size_or_sections : int or sequence of int
        Extent of every part, the last one being what remains; or the extents of all of them.
    axis, dim : int, default 0

    Returns
    -------
    tuple of array
        Views of `x`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> [part.shape for part in pycnn.split(np.zeros((7, 2)), 3)]
    [(3, 2), (3, 2), (1, 2)]
    >>> [part.shape for part in pycnn.split(np.zeros((7, 2)), (1, 6))]
    [(1, 2), (6, 2)]
    """


@operation(CHANNEL_SHUFFLE)
def channel_shuffle(x: Any, groups: int, *, layout: str = "NCHW", out: Any = None) -> Any:
    """Channels of all groups in turn: channel k of group g becomes channel k * groups + g.

    Its gradient is `channel_shuffle` by C / `groups` groups, which puts them back.

    Parameters
    ----------
    x : array (N, C, ...) with 1 to 3 further axes; any floating dtype, int8 to int64, uint8, bool
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    groups : int
        A divisor of C.
    layout : {"NCHW", "NHWC"}, default "NCHW"
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array like `x`

    References
    ----------
    X. Zhang et al.: ShuffleNet, CVPR 2018, section 3.1.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.channel_shuffle(np.arange(6.0).reshape(1, 6, 1), 2).ravel()
    array([0., 3., 1., 4., 2., 5.])
    """


@operation(PIXEL_SHUFFLE)
def pixel_shuffle(x: Any, upscale_factor: int, *, layout: str = "NCHW", out: Any = None) -> Any:
    """Channels to blocks of pixels: (N, C r r, H, W) becomes (N, C, H r, W r).

    Its gradient is `pixel_unshuffle`, which puts them back.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W); any floating dtype, int8 to int64, uint8 or bool
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    upscale_factor : int
        Its square divides C.
    layout : {"NCHW", "NHWC"}, default "NCHW"
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `x`

    References
    ----------
    W. Shi et al.: Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network, CVPR 2016, section 3.2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.pixel_shuffle(np.arange(4.0).reshape(1, 4, 1, 1), 2)[0, 0]
    array([[0., 1.],
           [2., 3.]])
    """


@operation(PIXEL_UNSHUFFLE)
def pixel_unshuffle(x: Any, downscale_factor: int, *, layout: str = "NCHW", out: Any = None) -> Any:
    """Blocks of pixels to channels: (N, C, H r, W r) becomes (N, C r r, H, W).

    Its gradient is `pixel_shuffle`, which puts them back.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W); any floating dtype, int8 to int64, uint8 or bool
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    downscale_factor : int
        A divisor of H and of W.
    layout : {"NCHW", "NHWC"}, default "NCHW"
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `x`

    References
    ----------
    W. Shi et al.: Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network, CVPR 2016, section 3.2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.pixel_unshuffle(np.arange(4.0).reshape(1, 1, 2, 2), 2).ravel()
    array([0., 1., 2., 3.])
    """


@operation(DEPTH_TO_SPACE)
def depth_to_space(
    x: Any, block_size: int, mode: str = "DCR", *, layout: str = "NCHW", out: Any = None
) -> Any:
    """Channels to blocks of pixels, as `pixel_shuffle`, in either order of the channels.

    Its gradient is `space_to_depth`, which puts them back.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W); any floating dtype, int8 to int64, uint8 or bool
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    block_size : int
        Its square divides C.
    mode : {"DCR", "CRD"}, default "DCR"
        Whether the place in a block comes before the channel in the old channels, as in TensorFlow
        and by default in ONNX, or after it, as in PyTorch.
    layout : {"NCHW", "NHWC"}, default "NCHW"
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `x`

    References
    ----------
    W. Shi et al.: Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network, CVPR 2016, section 3.2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.arange(8.0).reshape(1, 8, 1, 1)
    >>> pycnn.depth_to_space(x, 2)[0, 0], pycnn.depth_to_space(x, 2, "CRD")[0, 0]
    (array([[0., 2.],
           [4., 6.]]), array([[0., 1.],
           [2., 3.]]))
    """


@operation(SPACE_TO_DEPTH)
def space_to_depth(
    x: Any, block_size: int, mode: str = "DCR", *, layout: str = "NCHW", out: Any = None
) -> Any:
    """Blocks of pixels to channels, as `pixel_unshuffle`, in either order of the channels.

    Its gradient is `depth_to_space`, which puts them back.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W); any floating dtype, int8 to int64, uint8 or bool
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    block_size : int
        A divisor of H and of W.
    mode : {"DCR", "CRD"}, default "DCR"
        Whether the place in a block comes before the channel in the new channels, as in TensorFlow
        and by default in ONNX, or after it, as in PyTorch.
    layout : {"NCHW", "NHWC"}, default "NCHW"
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `x`

    References
    ----------
    W. Shi et al.: Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network, CVPR 2016, section 3.2.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> pycnn.space_to_depth(x, 2).ravel()
    array([0., 4., 1., 5., 2., 6., 3., 7.])
    """
