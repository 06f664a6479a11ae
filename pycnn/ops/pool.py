"""Pooling over (H, W): validate, plan, launch."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pycnn.define import out as _out
from pycnn.define.validate import (
    DTYPE_NAMES,
    boolean,
    check_float,
    check_rank,
    check_shape,
    element_strides,
    integer,
    padding_pairs,
    pair,
)
from pycnn.plan import pool as plans
from pycnn.plan.pool import Average, Window
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.backends import backend_for, executor

Extent = int | Sequence[int]


def max_pool2d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Any = None,
) -> Any:
    """Maximum over sliding windows.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float32 or float64
        Any strides; N or C may be 0.
    kernel_size : int or (vertical, horizontal)
        Extent of the window.
    stride : int or (vertical, horizontal), optional
        Step of the window; by default `kernel_size`.
    padding : int, (vertical, horizontal) or ((top, bottom), (left, right)), default 0
        Minus infinity around `x`; at most half of `kernel_size`.
    dilation : int or (vertical, horizontal), default 1
        Distance between the elements of a window.
    ceil_mode : bool, default False
        Whether a last window may hang over the end, if it starts before it.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    out : array, optional
        Takes the maxima: contiguous, memory of its own.

    Returns
    -------
    y : array (N, C, P, Q) or (C, P, Q), dtype of `x`
        As in PyTorch, a window with a NaN has NaN as its maximum. A window that dilation leaves
        without any element of `x` gives minus infinity.
    indices : array like y, int64
        Only with `return_indices`: h * W + w of the first maximum, or of the last NaN; -1 for
        a window without any element of `x`.

    Raises
    ------
    TypeError
        If `x` is no NumPy or CuPy array or has another dtype, or a parameter another type.
    ValueError
        If a parameter is out of range, no window fits, or `out` cannot take the result.

    References
    ----------
    M. Ranzato et al.: Unsupervised learning of invariant feature hierarchies, CVPR 2007.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]]])
    >>> y, indices = pycnn.max_pool2d(x, 2, stride=1, return_indices=True)
    >>> y, indices
    (array([[[5., 6.]]]), array([[[1, 5]]]))
    """
    backend = backend_for(x=x, out=out)
    dtype = check_float(x=x)
    window = _window(kernel_size, stride, padding, dilation, ceil_mode)
    indexed = boolean("return_indices", return_indices)
    x, batched = _batched("x", x)
    strides = element_strides("x", x)
    y_shape = (*x.shape[:2], *_positions("x", x.shape, window))
    _out.check(out, y_shape if batched else y_shape[1:], dtype, x=x)
    place = _place(out, batched)
    results: dict[str, Any] = {}
    if backend == "reference":
        arguments = (window.kernel, window.stride, window.padding, window.dilation, ceil_mode)
        results["y"], results["indices"] = cpu.max_pool2d(
            x, *arguments, with_indices=indexed, out=place
        )
    else:
        plan = plans.max_pool2d(x.shape, strides, DTYPE_NAMES[dtype], window, indexed)
        results = executor(backend).run(plan, {"x": x}, _out.given("y", place))
    y = _result(results["y"], out, batched)
    return (y, _result(results["indices"], None, batched)) if indexed else y


def max_pool2d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    *,
    out: Any = None,
) -> Any:
    """Gradient of `max_pool2d`: every dy goes to where its maximum came from.

    Gathered, not scattered: every element of the result sums over the windows that it lies in,
    always in the same order, so the result is the same bit for bit.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), float32 or float64
        Gradient with respect to the maxima. Any strides.
    indices : array like dy, int64
        As `max_pool2d` returned them, of windows as given below. Out of range values are
        refused in NumPy arrays; in CuPy arrays, where looking would wait for the device, they
        are ignored.
    x_shape : sequence of int
        Shape of what was pooled.
    kernel_size, stride, padding, dilation, ceil_mode
        As given to `max_pool2d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also if shapes do not fit together.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[[7.0, 8.0]]]), np.array([[[1, 1]]])
    >>> pycnn.max_pool2d_backward(dy, indices, (1, 1, 3), (1, 2), stride=1)
    array([[[ 0., 15.,  0.]]])
    """
    backend = backend_for(dy=dy, indices=indices, out=out)
    dtype = check_float(dy=dy)
    if indices.dtype != np.int64:
        raise TypeError(f"indices has dtype {indices.dtype}; allowed: int64")
    window = _window(kernel_size, stride, padding, dilation, ceil_mode)
    check_shape("indices", indices.shape, dy.shape, "the shape of dy")
    full_shape, dy, batched = _gradient(dy, x_shape, window)
    indices, _ = _batched("indices", indices)
    _check_indices(indices, full_shape[2] * full_shape[3])
    strides = element_strides("dy", dy), element_strides("indices", indices)
    _out.check(out, full_shape if batched else full_shape[1:], dtype, dy=dy, indices=indices)
    place = _place(out, batched)
    if backend == "reference":
        dx = _out.store(cpu.max_pool2d_backward(dy, indices, full_shape), place)
    else:
        plan = plans.max_pool2d_backward(full_shape, *strides, DTYPE_NAMES[dtype], window)
        inputs = {"dy": dy, "indices": indices}
        dx = executor(backend).run(plan, inputs, _out.given("dx", place))["dx"]
    return _result(dx, out, batched)


def avg_pool2d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    """Mean over sliding windows.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float32 or float64
        Any strides; N or C may be 0.
    kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; the padding is zero.
    count_include_pad : bool, default True
        Whether the padding counts in the divisor. What a window of `ceil_mode` covers beyond it
        never does.
    divisor_override : int, optional
        Divide by this instead, at least 1.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    References
    ----------
    Y. LeCun et al.: Gradient-based learning applied to document recognition, Proc. IEEE 1998.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool2d(np.array([[[1.0, 3.0, 8.0]]]), (1, 2), ceil_mode=True)
    array([[[2., 8.]]])
    """
    backend = backend_for(x=x, out=out)
    dtype = check_float(x=x)
    window = _window(kernel_size, stride, padding, 1, ceil_mode)
    average = _average(count_include_pad, divisor_override)
    x, batched = _batched("x", x)
    strides = element_strides("x", x)
    y_shape = (*x.shape[:2], *_positions("x", x.shape, window))
    _out.check(out, y_shape if batched else y_shape[1:], dtype, x=x)
    place = _place(out, batched)
    if backend == "reference":
        y = cpu.avg_pool2d(x, *_average_arguments(window, average), out=place)
    else:
        plan = plans.avg_pool2d(x.shape, strides, DTYPE_NAMES[dtype], window, average)
        y = executor(backend).run(plan, {"x": x}, _out.given("y", place))["y"]
    return _result(y, out, batched)


def avg_pool2d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    """Gradient of `avg_pool2d`: every dy, divided as in forward, goes to its whole window.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), float32 or float64
        Gradient with respect to the means. Any strides.
    x_shape : sequence of int
        Shape of what was pooled.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As given to `avg_pool2d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; also if the shapes do not fit together.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool2d_backward(np.array([[[6.0, 4.0]]]), (1, 1, 3), (1, 2), stride=1)
    array([[[3., 5., 2.]]])
    """
    backend = backend_for(dy=dy, out=out)
    dtype = check_float(dy=dy)
    window = _window(kernel_size, stride, padding, 1, ceil_mode)
    average = _average(count_include_pad, divisor_override)
    full_shape, dy, batched = _gradient(dy, x_shape, window)
    strides = element_strides("dy", dy)
    _out.check(out, full_shape if batched else full_shape[1:], dtype, dy=dy)
    place = _place(out, batched)
    if backend == "reference":
        arguments = _average_arguments(window, average)
        dx = _out.store(cpu.avg_pool2d_backward(dy, full_shape, *arguments), place)
    else:
        plan = plans.avg_pool2d_backward(full_shape, strides, DTYPE_NAMES[dtype], window, average)
        dx = executor(backend).run(plan, {"dy": dy}, _out.given("dx", place))["dx"]
    return _result(dx, out, batched)


def _window(kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> Window:
    kernel = pair("kernel_size", kernel_size, 1)
    window = Window(
        kernel,
        kernel if stride is None else pair("stride", stride, 1),
        padding_pairs("padding", padding),
        pair("dilation", dilation, 1),
        boolean("ceil_mode", ceil_mode),
    )
    for extent, sides in zip(window.kernel, window.padding, strict=True):
        if max(sides) > extent // 2:
            raise ValueError(
                f"padding={padding!r} with kernel_size={kernel_size!r}; allowed: at most half of "
                "the kernel on each side, so that every window meets the input"
            )
    return window


def _average(count_include_pad: Any, divisor_override: Any) -> Average:
    divisor = 0 if divisor_override is None else integer("divisor_override", divisor_override, 1)
    return Average(boolean("count_include_pad", count_include_pad), divisor)


def _average_arguments(window: Window, average: Average) -> tuple[Any, ...]:
    """What comes after the arrays in the reference's functions."""
    divisor = average.divisor or None
    sizes = (window.kernel, window.stride, window.padding)
    return (*sizes, window.ceil_mode, average.count_include_pad, divisor)


def _batched(name: str, array: Any) -> tuple[Any, bool]:
    """`array` with an axis for the batch, and whether it had one."""
    check_rank(name, array, (3, 4), "(N, C, H, W) or (C, H, W)")
    return (array, True) if array.ndim == 4 else (array[None], False)


def _place(out: Any, batched: bool) -> Any:
    """Where a result with a batch goes, for `out` as it was given."""
    return out if out is None or batched else out[None]


def _result(array: Any, out: Any, batched: bool) -> Any:
    """What is returned: `out` itself if it was given, and a batch only if there was one."""
    if out is not None:
        return out
    return array if batched else array[0]


@lru_cache(maxsize=1024)
def _positions(name: str, shape: tuple[int, ...], window: Window) -> tuple[int, int]:
    """Extent of the result of pooling an array of this shape."""
    if 0 in shape[2:]:
        raise ValueError(f"{name} has shape {shape}; allowed: H and W of at least 1")
    positions = window.positions((shape[2], shape[3]))
    if min(positions) < 1:
        raise ValueError(
            f"kernel_size={window.kernel} with dilation={window.dilation} and "
            f"padding={window.padding} on {name} of shape {shape}; allowed: a window no larger "
            "than the padded input"
        )
    return positions


def _gradient(
    dy: Any, x_shape: Sequence[int], window: Window
) -> tuple[tuple[int, int, int, int], Any, bool]:
    """(x_shape with a batch, dy with a batch, whether they had one), if the two fit together."""
    if not isinstance(x_shape, (tuple, list)) or len(x_shape) not in (3, 4):
        raise ValueError(f"x_shape={x_shape!r}; allowed: (N, C, H, W) or (C, H, W)")
    batched = len(x_shape) == 4
    n, c, h, w = (1,) * (not batched) + tuple(integer("x_shape", e, 0) for e in x_shape)
    expected = (n, c, *_positions("x_shape", (n, c, h, w), window))
    check_shape("dy", dy.shape, expected if batched else expected[1:], "the windows over x_shape")
    return (n, c, h, w), dy if batched else dy[None], batched


def _check_indices(indices: Any, area: int) -> None:
    if not isinstance(indices, np.ndarray) or indices.size == 0:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < -1 or high >= area:
        wrong = low if low < -1 else high
        raise ValueError(f"indices holds {wrong}; allowed: -1 to H * W - 1 = {area - 1}")
