"""What the plans of the losses share: parameters of class indices, and the last stages."""

import numpy as np

from pycnn.plan._strided import Ints, strided
from pycnn.runtime.plan import SCALAR, Argument, Buffer, Kernel, Launch
from pycnn.shapes import ceil_div

SUMS = "loss/sums.cu"
THREADS, MOST_THREADS = 256, 1024

#: Most partial sums that are left to the last stage; also blocks enough to fill a large GPU.
PARTIALS = 1024


def finish(
    dtype: str, blocks: int, loss: str, *, below: bool = False, divisor: float = 1.0
) -> Launch:
    """The loss from ``blocks`` partial sums in the workspaces ``costs`` and ``weights``.

    Parameters
    ----------
    dtype : str
    blocks : int
        Partial sums of each; 0 for a sum over nothing.
    loss : str
        Name of the result.
    below : bool, default False
        Whether to divide by the sum of ``weights``.
    divisor : float, default 1.0
        Else what to divide by.
    """
    costs, weights = (Buffer(n) if blocks else None for n in ("costs", "weights"))
    arguments = (Buffer(loss), np.int64(blocks), np.float64(0.0 if below else divisor))
    threads = MOST_THREADS if blocks > THREADS else THREADS
    weights = weights if below else None
    return _launch(dtype, "loss_finish", costs, weights, *arguments, threads=threads)


def weight_total(
    dtype: str, count: int, positions: Ints, target: Ints, weight: Buffer | None, classes: np.void
) -> tuple[int, tuple[Launch, ...]]:
    """Blocks, and launches that leave the sum of the targets' weights in ``total``."""
    blocks = min(ceil_div(count, THREADS), PARTIALS)
    place = strided(positions, [target])
    parts = _launch(
        dtype,
        "loss_target_weights",
        *(Buffer("target"), weight, Buffer("weights"), np.int64(count), place, classes),
        blocks=blocks,
    )
    buffers = (Buffer("weights"), Buffer("total"))
    return blocks, (parts, _launch(dtype, "loss_total", *buffers, np.int64(blocks)))


def _launch(
    dtype: str, entry: str, *arguments: Argument, blocks: int = 1, threads: int = THREADS
) -> Launch:
    kernel = Kernel(SUMS, entry, (("SCALAR", SCALAR[dtype]),))
    return Launch(kernel, (blocks, 1, 1), (threads, 1, 1), arguments)
