"""Plan of the gradients of layer norm in one pass: kernels/norm/layer_gradient.cu."""

from collections.abc import Mapping

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan import _norm
from pycnn.plan._norm import LANES, VECTOR_BYTES, kernel
from pycnn.runtime.plan import ArraySpec, Buffer, Dim3, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: Threads of a block, and vectors that each has of a row.
THREADS, COUNT = 512, 2

#: Blocks at most, which is what threads that share a sum can add up: MERGED * PARTS of the kernel.
BLOCKS = 144

#: MERGED of the kernel: threads that share the parts of a sum.
MERGED = 16


def most_blocks() -> int:
    """One for each multiprocessor: where some had two, all would wait for these."""
    return min(target().processors, BLOCKS)


def team(rows: int, length: int, dtype: str) -> tuple[str, Dim3] | None:
    """Which entry, and its block: threads of a row, and rows; None for no whole vectors, or
    many.

    Examples
    --------
    >>> team(4096, 1024, "bfloat16"), team(9, 96, "float32"), team(9, 97, "float32")
    (('block', (64, 8, 1)), ('lanes', (16, 2, 1)), None)
    """
    vecs, ragged = divmod(length, VECTOR_BYTES // FLOATS[dtype].itemsize)
    if ragged or not 0 < vecs <= THREADS * COUNT or rows >= 2**30:
        return None
    threads = ceil_div(vecs, COUNT)
    at_once = ceil_div(rows, most_blocks())
    if threads <= LANES:
        lanes = max(4, 1 << (threads - 1).bit_length())
        warps = min(ceil_div(at_once * lanes, LANES), THREADS // LANES)
        return "lanes", (lanes, warps * LANES // lanes, 1)
    threads = ceil_div(threads, LANES) * LANES
    return "block", (threads, min(at_once, THREADS // threads), 1)


def one_pass(
    views: Mapping[str, View],
    dtype: str,
    rows: int,
    length: int,
    eps: float,
    outputs: dict[str, ArraySpec],
) -> Plan:
    """``dx``, ``dweight`` and ``dbias`` of contiguous rows that have a `team`."""
    chosen = team(rows, length, dtype)
    assert chosen
    entry, block = chosen
    blocks = min(ceil_div(rows, block[1]), most_blocks())
    wide = {f"{n}_wide": outputs[n].dtype != numpy_dtype(dtype) for n in ("dweight", "dbias")}
    file = "norm/layer_gradient.cu"
    gradient = Launch(
        kernel("layer_gradient", f"layer_gradient_{entry}", dtype),
        (blocks, 1, 1),
        block,
        (
            *(Buffer("dy"), Buffer("x"), Buffer("weight") if "weight" in views else None),
            *(Buffer("dx"), Buffer("parts")),
            struct(
                file, "LayerGradient", rows=rows, length=length,
                weight_wide=_norm.is_wide(views.get("weight"), dtype), eps=eps,
            ),
        ),
    )  # fmt: skip
    merge = Launch(
        kernel("layer_gradient", "layer_gradient_merge", dtype),
        (ceil_div(2 * length, LANES), 1, 1),
        (LANES, MERGED, 1),
        (
            *(Buffer("parts"), Buffer("dweight"), Buffer("dbias")),
            struct(file, "MergeParams", length=length, blocks=blocks, **wide),
        ),
    )
    workspace = {"parts": ArraySpec((blocks, 2, length), _norm.computed_in(dtype))}
    return Plan("layer_norm_backward", "vectors", (gradient, merge), outputs, workspace)
