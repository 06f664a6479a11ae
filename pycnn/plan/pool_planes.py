"""Which poolings go by rows of planes: kernels/pool/planes.cu."""

from dataclasses import dataclass
from typing import ClassVar

from pycnn.plan._strided import Ints
from pycnn.plan.pool_channels import STRIDE, VECTOR_BYTES, are_windows
from pycnn.plan.pool_tile import Work
from pycnn.shapes import ceil_div

THREADS = 256

#: Planes of a thread, at most, and threads for which there are fewer of them.
PLANES, BUSY = 4, 2**18


@dataclass(frozen=True)
class Rows:
    """How results are divided among threads.

    Attributes
    ----------
    window : int
        Its side.
    low : int
        Padding in front of the columns that is compiled in; -1 where elements are read one by one.
    planes : int
        Of a thread.
    threads : int
        Of all blocks.
    """

    window: int
    low: int
    planes: int
    threads: int

    block: ClassVar[int] = THREADS

    @property
    def blocks(self) -> int:
        """Blocks of the launch."""
        return ceil_div(self.threads, self.block)


def choose_rows(
    work: Work, images: int, channels: int, strides: Ints, indices: bool
) -> Rows | None:
    """How planes.cu computes this; None if it does not.

    Parameters
    ----------
    work : Work
    images, channels : int
    strides : tuple of int
        Of x, in elements: image, channel, spatial axes.
    indices : bool
    """
    n, c, *spatial = strides
    _, rows, cols = work.axes
    if work.backward or not are_windows(work) or len(spatial) != 2 or spatial[1] != 1:
        return None
    outputs = VECTOR_BYTES // (STRIDE * work.itemsize)
    outputs = min(outputs, 2) if indices else outputs
    whole = not any(step % (STRIDE * outputs) for step in (cols.extent, n, c, spatial[0]))
    low = cols.low if whole and cols.windows % outputs == 0 else -1
    groups = images * rows.windows * ceil_div(cols.windows, outputs if low >= 0 else 1)
    planes = max(1, min(PLANES, groups * channels // BUSY))
    threads = groups * ceil_div(channels, planes)
    if threads + THREADS >= 2**31:
        return None
    return Rows(rows.kernel, low, planes, threads)
