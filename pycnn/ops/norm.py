"""Normalisation within an image: layer, group, instance and local response norm."""

from typing import Any

from pycnn.define.norm_group import (
    GROUP_NORM,
    GROUP_NORM_BACKWARD,
    INSTANCE_NORM,
    INSTANCE_NORM_BACKWARD,
)
from pycnn.define.norm_layer import LAYER_NORM, LAYER_NORM_BACKWARD
from pycnn.define.norm_response import LOCAL_RESPONSE_NORM, LOCAL_RESPONSE_NORM_BACKWARD
from pycnn.define.public import operation


@operation(LAYER_NORM)
def layer_norm(
    x: Any,
    normalized_shape: int | tuple[int, ...],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    out: Any = None,
) -> Any:
    """Normalise over the last axes: (x - mean) / sqrt(variance + eps) * weight + bias.

    Parameters
    ----------
    x : array of rank 1 or more, any floating dtype
        Any strides.
    normalized_shape : int or tuple of int
        Extents of the last axes, which share a mean and a variance.
    weight, bias : array of shape `normalized_shape`, optional
        One and zero if None. Of the dtype of `x`, or of the one it is computed in: float32 where
        `x` is of 16 bits.
    eps : float, default 1e-5
        At least 0.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x

    References
    ----------
    J. L. Ba, J. R. Kiros, G. Hinton: Layer normalization, arXiv 1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.layer_norm(np.array([[1.0, 3.0], [5.0, 1.0]]), 2, eps=0.0)
    array([[-1.,  1.],
           [ 1., -1.]])
    """


@operation(LAYER_NORM_BACKWARD)
def layer_norm_backward(
    dy: Any,
    x: Any,
    normalized_shape: int | tuple[int, ...],
    weight: Any = None,
    eps: float = 1e-5,
    *,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `layer_norm`. The statistics are computed again: only x has to be kept.

    Parameters
    ----------
    dy : array
        Gradient with respect to the result; shape and dtype of `x`. Any strides.
    x, normalized_shape, weight, eps
        As for `layer_norm`.
    out : array, optional
        Takes dx: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    (dx, dweight, dbias) : array like x, arrays of shape `normalized_shape`
        The latter of the dtype of `weight`, or of the one computed in if it is None; then
        dweight is the gradient for a weight of one.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, x = np.array([[1.0, 0.0]]), np.array([[1.0, 3.0]])
    >>> pycnn.layer_norm_backward(dy, x, 2, eps=0.0)[1:]
    (array([-1.,  0.]), array([1., 0.]))
    """


@operation(GROUP_NORM)
def group_norm(
    x: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Normalise groups of neighbouring channels, of each image by itself.

    Parameters
    ----------
    x : array (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W), any floating dtype
        Any strides. At least two values in a group.
    num_groups : int
        A divisor of C; each group has a mean and a variance of its own.
    weight, bias : array (C,), optional
        One and zero if None; dtypes as for `layer_norm`.
    eps : float, default 1e-5
        At least 0.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Whether the channels are axis 1 of `x` or the last.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `layer_norm`; also if `num_groups` does not divide C, or x has but one value for
        every group.

    References
    ----------
    Y. Wu, K. He: Group normalization, ECCV 2018.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.group_norm(np.array([[1.0, 3.0, 0.0, 8.0]]), 2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """


@operation(GROUP_NORM_BACKWARD)
def group_norm_backward(
    dy: Any,
    x: Any,
    num_groups: int,
    weight: Any = None,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `group_norm`. The statistics are computed again: only x has to be kept.

    Parameters
    ----------
    dy : array
        Gradient with respect to the result; shape and dtype of `x`. Any strides.
    x, num_groups, weight, eps, layout
        As for `group_norm`.
    out : array, optional
        Takes dx: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    (dx, dweight, dbias) : array like x, arrays (C,)
        As from `layer_norm_backward`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, x = np.array([[1.0, 0.0]]), np.array([[1.0, 3.0]])
    >>> pycnn.group_norm_backward(dy, x, 1, eps=0.0)[1:]
    (array([-1.,  0.]), array([1., 0.]))
    """


@operation(INSTANCE_NORM)
def instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Normalise every channel of every image by its own mean and variance.

    Parameters
    ----------
    x : array (N, C, L), (N, C, H, W) or (N, C, D, H, W), any floating dtype
        Any strides. At least two values in a channel of an image.
    running_mean, running_var : array (C,), optional
        Both or neither, dtypes as for `weight`. With `use_input_stats` they are **changed in
        place**, as in PyTorch: to ``(1 - momentum) * running + momentum * new``, where new is the
        mean over the images of their means, or of their variances with n - 1.
    weight, bias : array (C,), optional
        As for `group_norm`.
    use_input_stats : bool, default True
        If false, `running_mean` and `running_var` are what is normalised by, as in `batch_norm`.
    momentum : float, default 0.1
    eps, layout, out
        As for `group_norm`.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        As `layer_norm`; also if there is one value for a channel of an image, or one running
        statistic without the other, or none where they are needed, or one that cannot be written.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization, arXiv 1607.08022, 2016.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, mean, var = np.array([[[1.0, 3.0], [0.0, 8.0]]]), np.zeros(2), np.ones(2)
    >>> pycnn.instance_norm(x, mean, var, eps=0.0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    >>> mean, var
    (array([0.2, 0.4]), array([1.1, 4.1]))
    """


@operation(INSTANCE_NORM_BACKWARD)
def instance_norm_backward(
    dy: Any,
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `instance_norm`. The statistics are computed again: only x has to be kept.

    Parameters
    ----------
    dy : array
        Gradient with respect to the result; shape and dtype of `x`. Any strides.
    x, running_mean, running_var, weight, use_input_stats, eps, layout
        As for `instance_norm`. Running statistics are read only where x was normalised by them.
    out : array, optional
        Takes dx: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    (dx, dweight, dbias) : array like x, arrays (C,)
        As from `layer_norm_backward`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, x = np.array([[[1.0, 0.0]]]), np.array([[[1.0, 3.0]]])
    >>> pycnn.instance_norm_backward(dy, x, eps=0.0)[1:]
    (array([-1.]), array([1.]))
    """


@operation(LOCAL_RESPONSE_NORM)
def local_response_norm(
    x: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Divide by a power of the squares of neighbouring channels, at every pixel.

    y[c] = x[c] / (k + alpha / size * sum of x[j]^2)^beta, with j from c - size // 2 on, `size`
    channels; beyond the first and last there are zeros, which count. So PyTorch and ONNX have
    it; the paper does not divide alpha by size.

    Parameters
    ----------
    x : array (N, C, L), (N, C, H, W) or (N, C, D, H, W), any floating dtype
        Any strides.
    size : int
        Channels of a window.
    alpha, beta, k : float, default 1e-4, 0.75, 1
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Whether the channels are axis 1 of `x` or the last.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError
        If an argument is no array, or has another type or dtype.
    ValueError
        If a parameter is out of range, or the kernels' shared memory cannot hold a window: more
        than 384 channels (128 for the gradient) in float32, half of that in float64.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional
    neural networks, NIPS 2012, section 3.3.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[3.0], [1.0]]])
    >>> pycnn.local_response_norm(x, 1, alpha=1.0, beta=1.0).ravel()
    array([0.3, 0.5])
    """


@operation(LOCAL_RESPONSE_NORM_BACKWARD)
def local_response_norm_backward(
    dy: Any,
    x: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `local_response_norm`.

    Parameters
    ----------
    dy : array
        Gradient with respect to the result; shape and dtype of `x`. Any strides.
    x, size, alpha, beta, k, layout
        As for `local_response_norm`.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> one = np.ones((1, 1, 1))
    >>> pycnn.local_response_norm_backward(one, one, 1, alpha=1.0, beta=1.0).ravel()
    array([0.])
    """
