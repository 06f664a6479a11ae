"""Which poolings go by vectors of channels: kernels/pool/channels.cu."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from pycnn.plan._strided import Ints
from pycnn.plan.pool_axis import ABSENT
from pycnn.plan.pool_tile import Work
from pycnn.shapes import ceil_div

THREADS = 128

#: Bytes of one access.
VECTOR_BYTES = 16

#: Rows of outputs in a strip, at most: of 3x3 windows, each strip reads a row of x more, but longer
#: ones leave a last wave of few blocks.
ROWS = 2

#: What is compiled in: windows of stride 2.
WINDOWS, STRIDE = (2, 3), 2


@dataclass(frozen=True)
class Strips:
    """How results are divided among threads.

    Attributes
    ----------
    window : int
        Its side.
    rows : int
        Rows of outputs that a thread has.
    threads : int
        Of all blocks.
    """

    window: int
    rows: int
    threads: int

    block: ClassVar[int] = THREADS
    low: ClassVar[None] = None

    @property
    def blocks(self) -> int:
        """Blocks of the launch."""
        return ceil_div(self.threads, self.block)


def choose_strips(work: Work, images: int, strides: Ints, indices: bool) -> Strips | None:
    """How channels.cu computes this; None if it does not.

    Parameters
    ----------
    work : Work
    images : int
    strides : tuple of int
        Of x, in elements: image, channel, spatial axes.
    indices : bool
    """
    _, rows, cols = work.axes
    n, c, *spatial = strides
    width = VECTOR_BYTES // work.itemsize
    if work.backward or not are_windows(work) or len(spatial) != 2:
        return None
    if work.planes != images or c != 1:
        return None
    if any(step % width for step in (work.inner, n, *spatial)):
        return None
    strips = ceil_div(rows.windows, ROWS)
    columns = ceil_div(cols.windows, _columns(work.itemsize, indices))
    threads = images * strips * columns * (work.inner // width)
    if threads + THREADS >= 2**31:
        return None
    return Strips(rows.kernel, ceil_div(rows.windows, strips), threads)


def are_windows(work: Work) -> bool:
    """Whether windows are 2x2 or 3x3 of stride 2, with elements of planes that 32 bits count."""
    outer, rows, cols = work.axes
    if outer != ABSENT or rows.kernel != cols.kernel or rows.kernel not in WINDOWS:
        return False
    for axis in (rows, cols):  # every window begins in x, or one element before
        last = (axis.windows - 1) * STRIDE - axis.low
        if axis.stride != STRIDE or axis.dilation != 1 or last >= axis.extent:
            return False
        if axis.low > axis.kernel // 2:
            return False
    return prod(axis.extent + 4 for axis in (rows, cols)) < 2**31


def _columns(itemsize: int, indices: bool) -> int:
    """Of a thread's outputs: as many as its registers hold beside those of other warps."""
    return 4 if itemsize > 2 and not indices else 2
