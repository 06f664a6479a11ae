"""Which gradients of pooling go by cells in registers: kernels/include/pycnn/pool_cells.cuh."""

from collections.abc import Sequence
from dataclasses import dataclass

from pycnn.plan._strided import Ints
from pycnn.plan.pool_axis import Axis
from pycnn.plan.pool_channels import STRIDE, VECTOR_BYTES, are_windows
from pycnn.plan.pool_tile import Work
from pycnn.shapes import ceil_div

#: Rows of cells in a strip, at most, of 3x3 windows over planes, and of others; threads for which
#: strips are shorter.
ROWS, BUSY = (6, 8), 2**17


@dataclass(frozen=True)
class Cells:
    """How the elements of dx are divided among threads.

    Attributes
    ----------
    window : int
        Its side.
    low : int or None
        Of planes_backward.cu the padding in front of the columns that is compiled in; -1 where
        elements come one by one. None for channels_backward.cu.
    rows : int
        Rows of cells that a thread has.
    threads : int
        Of all blocks, in which there are `block` of them.
    block : int
    """

    window: int
    low: int | None
    rows: int
    threads: int
    block: int

    @property
    def blocks(self) -> int:
        """Blocks of the launch."""
        return ceil_div(self.threads, self.block)


def choose_cells(work: Work, channels: int, last: bool, operands: Sequence[Ints]) -> Cells | None:
    """How the kernels compute this; None if they do not.

    Parameters
    ----------
    work : Work
    channels : int
    last : bool
        Whether these are the last axis.
    operands : sequence of tuple of int
        Strides of dy and, for maxima, of the indices, in elements: image, channel, spatial axes.
    """
    _, rows, cols = work.axes
    if not are_windows(work) or any(len(strides) != 4 for strides in operands):
        return None
    width = VECTOR_BYTES // work.itemsize
    low = None
    if last:
        if work.inner % width or not _are_vectors(operands, 1, width):
            return None
        across, outer = work.inner // width * _cells(cols), work.planes
    else:
        if any(strides[3] != 1 for strides in operands):
            return None
        outputs = min(width // STRIDE, 2) if len(operands) > 1 else width // STRIDE
        whole = cols.extent % (STRIDE * outputs) == cols.windows % outputs == 0
        low = cols.low if whole and _are_vectors(operands, 3, outputs) else -1
        across = _cells(cols) if low < 0 else cols.extent // (STRIDE * outputs)
        outer = work.planes
    down = _cells(rows)
    strip = ROWS[last or rows.kernel < 3]
    while strip > 2 and outer * across * ceil_div(down, strip) < BUSY:
        strip = max(2, strip // 2)
    strips = ceil_div(down, strip)
    threads, block = outer * across * strips, 128 if last else 256
    if threads + block >= 2**31:
        return None
    return Cells(rows.kernel, low, ceil_div(down, strips), threads, block)


def _cells(axis: Axis) -> int:
    return (axis.extent + axis.low + 1) // STRIDE


def _are_vectors(operands: Sequence[Ints], along: int, width: int) -> bool:
    """Whether neighbours along an axis come in vectors wherever the others lead."""
    return all(
        step == 1 if axis == along else step % width == 0
        for strides in operands
        for axis, step in enumerate(strides)
    )
