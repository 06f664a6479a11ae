"""Plans of pooling: one thread an element of the result, forward and backward."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from pycnn.plan._strided import Ints, record
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.shapes import conv_out

THREADS = 256

#: struct Pool of kernels/include/pycnn/pool.cuh, field by field.
PARAMS = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("count", "C", "H", "W", "P", "Q", "R", "S"),
            *("stride_h", "stride_w", "dilation_h", "dilation_w"),
            *("top", "bottom", "left", "right"),
            *("n", "c", "h", "w"),
            *("other_n", "other_c", "other_h", "other_w"),
            *("count_include_pad", "divisor"),
        )
    ]
)

Pair = tuple[int, int]
NO_STRIDES = (0, 0, 0, 0)


@dataclass(frozen=True)
class Window:
    """A sliding window over (H, W), every parameter as (vertical, horizontal).

    Attributes
    ----------
    kernel, stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode : bool
    """

    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    def positions(self, extents: Pair) -> Pair:
        """Windows along H and W; zero or less where none fits.

        Examples
        --------
        >>> Window((3, 3), (2, 2), ((1, 1), (1, 1))).positions((112, 112))
        (56, 56)
        """
        p, q = (
            conv_out(extent, *pad, kernel, stride, dilation, self.ceil_mode)
            for extent, pad, kernel, stride, dilation in zip(
                extents, self.padding, self.kernel, self.stride, self.dilation, strict=True
            )
        )
        return p, q


@dataclass(frozen=True)
class Average:
    """What the sum of a window is divided by; `divisor` 0 counts elements."""

    count_include_pad: bool = True
    divisor: int = 0


@lru_cache(maxsize=1024)
def max_pool2d(shape: Ints, strides: Ints, dtype: str, window: Window, indices: bool) -> Plan:
    """Plan of `pycnn.max_pool2d`: input ``x``, outputs ``y`` and, if asked for, ``indices``.

    Parameters
    ----------
    shape, strides : tuple of int
        Of x (N, C, H, W), in elements.
    dtype : str
    window : Window
    indices : bool

    Examples
    --------
    >>> w = Window((2, 2), (2, 2), ((0, 0), (0, 0)))
    >>> max_pool2d((2, 3, 6, 8), (144, 48, 8, 1), "float32", w, False).outputs["y"].shape
    (2, 3, 3, 4)
    """
    out = (*shape[:2], *window.positions((shape[2], shape[3])))
    outputs = {"y": ArraySpec(out, np.dtype(dtype))}
    if indices:
        outputs["indices"] = ArraySpec(out, np.dtype(np.int64))
    arguments = (Buffer("x"), Buffer("y"), Buffer("indices") if indices else None)
    params = _params(prod(out), shape, window, strides)
    return _plan("max_pool2d", dtype, arguments, params, outputs, shape, window)


@lru_cache(maxsize=1024)
def max_pool2d_backward(
    x_shape: Ints, dy_strides: Ints, indices_strides: Ints, dtype: str, window: Window
) -> Plan:
    """Plan of `pycnn.max_pool2d_backward`: ``dy`` and ``indices`` to ``dx``.

    Parameters
    ----------
    x_shape : tuple of int
        (N, C, H, W).
    dy_strides, indices_strides : tuple of int
        In elements.
    dtype : str
    window : Window
    """
    outputs = {"dx": ArraySpec(x_shape, np.dtype(dtype))}
    arguments = (Buffer("dy"), Buffer("indices"), Buffer("dx"))
    params = _params(prod(x_shape), x_shape, window, dy_strides, indices_strides)
    return _plan("max_pool2d_backward", dtype, arguments, params, outputs, x_shape, window)


@lru_cache(maxsize=1024)
def avg_pool2d(shape: Ints, strides: Ints, dtype: str, window: Window, average: Average) -> Plan:
    """Plan of `pycnn.avg_pool2d`: input ``x``, output ``y``.

    Parameters
    ----------
    shape, strides : tuple of int
        Of x (N, C, H, W), in elements.
    dtype : str
    window : Window
    average : Average
    """
    out = (*shape[:2], *window.positions((shape[2], shape[3])))
    outputs = {"y": ArraySpec(out, np.dtype(dtype))}
    params = _params(prod(out), shape, window, strides, average=average)
    return _plan("avg_pool2d", dtype, (Buffer("x"), Buffer("y")), params, outputs, shape, window)


@lru_cache(maxsize=1024)
def avg_pool2d_backward(
    x_shape: Ints, dy_strides: Ints, dtype: str, window: Window, average: Average
) -> Plan:
    """Plan of `pycnn.avg_pool2d_backward`: ``dy`` to ``dx``.

    Parameters
    ----------
    x_shape : tuple of int
        (N, C, H, W).
    dy_strides : tuple of int
        In elements.
    dtype : str
    window : Window
    average : Average
    """
    outputs = {"dx": ArraySpec(x_shape, np.dtype(dtype))}
    arguments = (Buffer("dy"), Buffer("dx"))
    params = _params(prod(x_shape), x_shape, window, dy_strides, average=average)
    return _plan("avg_pool2d_backward", dtype, arguments, params, outputs, x_shape, window)


def _params(
    count: int,
    x_shape: Ints,
    window: Window,
    strides: Ints,
    other: Ints = NO_STRIDES,
    average: Average | None = None,
) -> np.void:
    """The kernel's struct by value."""
    average = average or Average()
    return record(
        PARAMS,
        *(count, *x_shape[1:], *window.positions((x_shape[2], x_shape[3])), *window.kernel),
        *(*window.stride, *window.dilation, *window.padding[0], *window.padding[1]),
        *(*strides, *other, average.count_include_pad, average.divisor),
    )


def _plan(
    op: str,
    dtype: str,
    arguments: tuple[Argument, ...],
    params: np.void,
    outputs: dict[str, ArraySpec],
    x_shape: Ints,
    window: Window,
) -> Plan:
    count = int(params["count"])
    windows = prod(x_shape[:2]) * int(params["P"]) * int(params["Q"])
    itemsize = np.dtype(dtype).itemsize
    read_or_written = prod(x_shape) + windows  # x and y, or their gradients
    indexed = Buffer("indices") in arguments
    kernel = Kernel(f"pool/{op.removesuffix('_backward')}.cu", op, (("SCALAR", SCALAR[dtype]),))
    blocks = -(-count // THREADS)
    launch = Launch(kernel, (max(blocks, 1), 1, 1), (THREADS, 1, 1), (*arguments, params))
    return Plan(
        op,
        "gather" if op.endswith("_backward") else "direct",
        (launch,) if count else (),
        outputs,
        flops=windows * prod(window.kernel),
        bytes=read_or_written * itemsize + windows * 8 * indexed,
    )
