"""Plans of unfold and fold: kernels/movement/unfold.cu and fold.cu."""

from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan._strided import Ints
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div, conv_out

THREADS = 256

#: Elements that a block keeps in shared memory, unless a row needs more; and bytes at most.
STAGED, SHARED = 4096, 48 * 1024

#: Rows of y of a thread of fold.cu.
ROWS = 4

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A sliding window; every parameter as (vertical, horizontal).

    Attributes
    ----------
    kernel, dilation, padding, stride : (int, int)
    """

    kernel: Pair
    dilation: Pair
    padding: Pair
    stride: Pair

    def positions(self, extents: Pair) -> Pair:
        """Windows along H and W; zero or less where none fits.

        Examples
        --------
        >>> Window((3, 3), (1, 1), (1, 1), (2, 2)).positions((28, 29))
        (14, 15)
        """
        p, q = (
            conv_out(extent, pad, pad, kernel, stride, dilation, False)
            for extent, kernel, dilation, pad, stride in zip(
                extents, self.kernel, self.dilation, self.padding, self.stride, strict=True
            )
        )
        return p, q


def unfold(x: View, shape: Ints, window: Window) -> Plan:
    """Plan of `pycnn.unfold`.

    Parameters
    ----------
    x : View
        (N, C, H, W).
    shape : tuple of int
        Of the result.
    window : Window
    """
    n, c, h, w = x.shape
    p, q = window.positions((h, w))
    spec = ArraySpec(shape, numpy_dtype(x.dtype))
    size = spec.dtype.itemsize
    span = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    width = (q - 1) * window.stride[1] + span[1]
    # (band - 1) * stride + span rows of this width are staged.
    bands = (
        _band(p, q, (limit // max(width, 1) - span[0]) // window.stride[0] + 1)
        for limit in (STAGED, SHARED // size)
    )
    band = next(filter(None, bands), 0)
    height = (band - 1) * window.stride[0] + span[0]
    params = _windows(x.shape, window, max(band, 1), x.strides)
    launch = _launch(
        "unfold", ("BYTES", str(size)), params, (n * c, p, band), prod(shape), height * width * size
    )
    return Plan(
        "unfold", "bands" if band else "direct", launch, {"y": spec},
    )  # fmt: skip


def fold(x: View, shape: Ints, extents: Ints, window: Window) -> Plan:
    """Plan of `pycnn.fold`.

    Parameters
    ----------
    x : View
        (N, C R S, P Q).
    shape : tuple of int
        Of the result.
    extents : tuple of int
        The same as (N, C, H, W).
    window : Window
    """
    n, c, h, w = extents
    spec = ArraySpec(shape, numpy_dtype(x.dtype))
    params = _windows(extents, window, 1, (x.strides[0], x.strides[1], 0, x.strides[2]))
    define = ("SCALAR", SCALAR[x.dtype])
    numbers = [n * c * (h + ROWS) + THREADS, w + THREADS, *x.shape[1:]]
    numbers += [e + 2 * pad + ROWS for e, pad in zip((h, w), window.padding, strict=True)]
    numbers += [sum((e - 1) * abs(by) for e, by in zip(x.shape[1:], x.strides[1:], strict=True))]
    small = max(numbers) < 2**31
    together = THREADS // min(THREADS, 1 << (w - 1).bit_length()) if small else 0
    bands = 1, n * c * ceil_div(h, ROWS), together
    return Plan(
        "fold", "strips" if small else "direct",
        _launch("fold", define, params, bands, prod(shape), 0), {"y": spec},
    )  # fmt: skip


def _band(rows: int, width: int, most: int) -> int:
    """Rows that a block takes, about as many in each; 0 if it cannot hold one."""
    most = min(most, max(1, STAGED // max(width, 1)))
    if most < 1 or rows < 1:
        return 0
    return ceil_div(rows, ceil_div(rows, min(rows, most)))


def _windows(extents: Ints, window: Window, band: int, strides: Ints) -> np.void:
    """struct Windows."""
    shape = (*extents, *window.positions((extents[2], extents[3])), *window.kernel)
    (stride_h, stride_w), (top, left) = window.stride, window.padding
    return struct(
        "pycnn/copy_window.cuh", "Windows",
        **dict(zip("NCHWPQRS", shape, strict=True)),
        stride_h=stride_h, stride_w=stride_w, top=top, left=left,
        dilation_h=window.dilation[0], dilation_w=window.dilation[1],
        band=band,
        **dict(zip("nchw", strides, strict=True)),
    )  # fmt: skip


def _launch(
    name: str, define: tuple[str, str], params: np.void, bands: Ints, count: int, shared: int
) -> tuple[Launch, ...]:
    """By bands of rows if a block holds one, else an element a thread; none for no result."""
    if count == 0:
        return ()
    planes, rows, band = bands
    buffers = Buffer("x"), Buffer("y"), params
    entry, grid = name, planes * ceil_div(rows, band) if band else 0
    if not band:
        entry, grid, shared = f"{name}_direct", ceil_div(count, THREADS), 0
    kernel = Kernel(f"movement/{name}.cu", entry, (define,))
    return (Launch(kernel, (grid, 1, 1), (THREADS, 1, 1), buffers, shared=shared),)
