"""Convolution: validate, plan, launch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn import config
from pycnn.ops import _conv_prepare as prepare
from pycnn.define import out as _out
from pycnn.ops._conv_arguments import WEIGHT_AXES, X_AXES, geometry, shape
from pycnn.define.validate import FLOATS, choice, integer
from pycnn.plan import conv as plans
from pycnn.plan.conv import Algorithm
from pycnn.reference.cpu import conv as cpu
from pycnn.runtime.backends import active_backend, executor

Extent = int | Sequence[int]


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    algo: str = "auto",
    out: Any = None,
) -> Any:
    """Two-dimensional convolution (cross-correlation, as in PyTorch).

    ``y[n, k, p, q] = bias[k] + sum over c, r, s of weight[k, c, r, s] *
    x[n, c, p*stride - top + r*dilation, q*stride - left + s*dilation]``, with c running over the
    channels of the group of k, and zeros outside of x.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float32 or float64
        Any strides, without a copy; N may be 0.
    weight : array (K, C/G, R, S), dtype of `x`
        Any strides.
    bias : array (K,), dtype of `x`, optional
    stride : int or (vertical, horizontal), default 1
    padding : int, (vertical, horizontal), ((top, bottom), (left, right)), "valid" or "same"
        Zeros around `x`, default 0. "same" keeps the extent, for stride 1; where the zeros are odd
        in number, one more goes below and to the right.
    dilation : int or (vertical, horizontal), default 1
        Distance between the taps of a filter.
    groups : int, default 1
        Parts that channels and filters are split into; each filter sees the channels of its part.
    algo : str, default "auto"
        A kernel algorithm, see `conv2d_algorithms`; on the reference backend only "auto".
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q), dtype of `x`

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
    Padding counts as zeros that are multiplied: an infinite weight over it gives NaN, and a NaN in
    `x` shows in no window but those that contain it.

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
    settings, limit = (stride, padding, dilation, groups), config.get("PYCNN_WORKSPACE_LIMIT")
    prepared = prepare.recall(
        (
            *("forward", active_backend(), limit),
            *(prepare.key(x), prepare.key(weight), prepare.key(bias), prepare.out_key(out)),
            *map(prepare.plain, (*settings, algo)),
        ),
        lambda: prepare.forward(x, weight, bias, out, settings, algo, limit),
    )
    if out is not None:
        _out.check_apart(out, x=x, weight=weight, bias=bias)
    if prepared.backend == "reference":
        into = None if out is None else _with_batch(out)
        y = cpu.conv2d(_with_batch(x), weight, bias, *prepared.geometry.as_arguments(), out=into)
        return (y if x.ndim == 4 else y[0]) if out is None else out
    arrays = {"x": x, "weight": weight}
    if bias is not None:
        arrays["bias"] = bias
    plan = prepared.plans["y"]
    return executor(prepared.backend).run(plan, arrays, _out.given("y", out))["y"]


def conv2d_backward(
    dy: Any,
    x: Any,
    weight: Any,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    algo: str = "auto",
) -> tuple[Any, Any, Any]:
    """Gradients of `conv2d` with respect to input, weight and bias.

    Every sum has a fixed order: the same input gives the same bits.

    Parameters
    ----------
    dy : array (N, K, P, Q) or (K, P, Q), dtype of `x`
        Gradient with respect to the result. Any strides.
    x, weight, stride, padding, dilation, groups
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

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also if `dy` does not have the shape of the result.

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
    settings, limit = (stride, padding, dilation, groups), config.get("PYCNN_WORKSPACE_LIMIT")
    prepared = prepare.recall(
        (
            *("backward", active_backend(), limit),
            *(prepare.key(dy), prepare.key(x), prepare.key(weight)),
            *map(prepare.plain, (*settings, needs, algo)),
        ),
        lambda: prepare.backward(dy, x, weight, settings, needs, algo, limit),
    )
    if prepared.backend == "reference":
        given, wanted = prepared.geometry.as_arguments(), (needs[0], needs[1], needs[2])
        dx, dweight, dbias = cpu.conv2d_backward(
            _with_batch(dy), _with_batch(x), weight, *given, needs=wanted
        )
        return dx if dx is None or x.ndim == 4 else dx[0], dweight, dbias
    arrays = {"dy": dy, "x": x, "weight": weight}

    def gradient(output: str) -> Any:
        plan = prepared.plans.get(output)
        if plan is None:
            return None
        if dy.size == 0:  # nothing to launch for; an empty sum is zero
            return np.zeros_like(dy, shape=plan.outputs[output].shape)
        return executor(prepared.backend).run(plan, arrays)[output]

    return gradient("dx"), gradient("dweight"), gradient("dbias")


def conv2d_algorithms(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    dtype: Any = "float32",
    direction: str = "forward",
    workspace_limit: int | None = None,
) -> list[Algorithm]:
    """The algorithms of a convolution of contiguous arrays, and what each needs.

    Parameters
    ----------
    x_shape, w_shape : sequence of int
        Shapes of input and weight, as for `conv2d`.
    stride, padding, dilation, groups
        As for `conv2d`.
    dtype : dtype, default float32
        float32 or float64.
    direction : str, default "forward"
        "forward", "backward_input", "backward_weight"; or "backward" for algorithms that offer
        both gradients.
    workspace_limit : int, optional
        Largest workspace in bytes; by default ``PYCNN_WORKSPACE_LIMIT``.

    Returns
    -------
    list of Algorithm
        Fields ``name``, ``workspace_bytes``, ``fits`` and ``reason``. ``algo="auto"`` takes the
        first one that fits, and its reason says why it stands there; of those that do not fit, the
        reason says what is in the way.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import pycnn
    >>> found = pycnn.conv2d_algorithms((1, 3, 8, 8), (5, 3, 3, 3), workspace_limit=1000)
    >>> [(a.name, a.fits) for a in found]
    [('direct', True), ('gemm_1x1', False), ('im2col', False), ('direct_tiled', True)]
    >>> found[2].reason
    'a single image needs 3888 bytes of workspace; allowed: 1000'
    """
    x = shape("x_shape", x_shape, (3, 4), X_AXES)
    weight = shape("w_shape", w_shape, (4,), WEIGHT_AXES)
    found = geometry(
        ("x_shape", (1, *x)[-4:]), ("w_shape", weight), stride, padding, dilation, groups
    )
    name = choice("dtype", np.dtype(dtype).name, [d.name for d in FLOATS])
    allowed = ("forward", "backward_input", "backward_weight")
    choice("direction", direction, (*allowed, "backward"))
    limit = config.get("PYCNN_WORKSPACE_LIMIT")
    if workspace_limit is not None:
        limit = integer("workspace_limit", workspace_limit, 0)
    problem = prepare.shapes_only(name, x, weight, found)
    if direction != "backward":
        return plans.algorithms(problem, direction, limit)
    of_input, of_weight = (plans.algorithms(problem, d, limit) for d in allowed[1:])
    return [a.together(b) for a in of_input for b in of_weight if a.name == b.name]


def _with_batch(array: Any) -> Any:
    """(C, H, W) as (1, C, H, W)."""
    return array if array.ndim == 4 else array[None]
