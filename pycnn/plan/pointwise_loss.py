"""Plans of the losses that compare two tensors: kernels/include/pycnn/pointwise_loss.cuh."""

from collections.abc import Mapping
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._classes import PARTIALS, THREADS, finish
from pycnn.plan._strided import Ints, merge_axes, strided
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

HEADER = "pycnn/pointwise_loss.cuh"

VECTOR_BYTES = 16

#: Elements of a thread that leaves a partial sum.
SHARE = 16

#: Weights of a kernel: those that mse_loss has not are not among its arguments.
WEIGHTS = ("weight", "pos_weight")


def loss(
    op: str,
    entry: str,
    shape: Ints,
    inputs: Mapping[str, Ints],
    dtype: str,
    *,
    weighted: bool,
    reduction: str,
    factor: float = 1.0,
) -> Plan:
    """Plan of a forward: ``x`` (or ``logits``) and ``target``, and weights, to ``loss``.

    Parameters
    ----------
    op, entry : str
        The operation, and the kernel's file and entry.
    shape : tuple of int
        Of x.
    inputs : mapping of str to tuple of int
        Element strides over `shape` of x, which comes first, of target and of the weights that
        there are.
    dtype : str
    weighted : bool
        Whether the kernel has weights.
    reduction : {"none", "sum", "mean"}
    factor : float, default 1.0
        Of every cost.

    Examples
    --------
    >>> strides = {"x": (3, 1), "target": (3, 1)}
    >>> plan = loss("mse_loss", "mse_loss", (2, 3), strides, "float32", weighted=False,
    ...             reduction="mean")
    >>> [launch.kernel.entry for launch in plan.launches]
    ['mse_loss', 'loss_finish']
    """
    count, whole = prod(shape), reduction == "none"
    spec = ArraySpec(shape if whole else (), numpy_dtype(dtype))
    contiguous = _contiguous(shape, inputs)
    width = VECTOR_BYTES // FLOATS[dtype].itemsize if contiguous else 1
    blocks = ceil_div(count, THREADS * width)
    if not whole:
        blocks = min(ceil_div(count, THREADS * max(width, SHARE)), PARTIALS)
    launches: tuple[Launch, ...] = ()
    workspace = {}
    if count:
        results = (Buffer("loss"), None) if whole else (None, Buffer("costs"))
        options = struct(HEADER, "LossOptions", factor=factor, dy_stands=0)
        arguments = (*results, np.int64(count), options)
        launch = _launch(entry, shape, inputs, contiguous, dtype, weighted, arguments, blocks)
        launches = (launch,)
    if not whole:
        launches += (finish(dtype, blocks, "loss", divisor=count if reduction == "mean" else 1.0),)
        if blocks:
            sums = np.dtype(FLOATS[dtype].accumulate)
            workspace = {"costs": ArraySpec((blocks,), sums)}
    algo = "vectors" if contiguous else "strided"
    return Plan(op, algo, launches, {"loss": spec}, workspace)


def gradient(
    op: str,
    entry: str,
    shape: Ints,
    inputs: Mapping[str, Ints],
    dtype: str,
    *,
    weighted: bool,
    factor: float,
    one_dy: bool,
) -> Plan:
    """Plan of a backward: ``dy``, ``x``, ``target`` and weights to ``dx``
    (``dlogits``).

    Parameters
    ----------
    op, entry, shape, dtype, weighted
        As for `loss`.
    inputs : mapping of str to tuple of int
        As for `loss`, and the strides of dy: all 0 for the gradient of one number.
    factor : float
        Of every gradient.
    one_dy : bool
        Whether dy is the gradient of one number.
    """
    count = prod(shape)
    spec = ArraySpec(shape, numpy_dtype(dtype))
    checked = {n: s for n, s in inputs.items() if not (n == "dy" and one_dy)}
    contiguous = _contiguous(shape, checked)
    width = VECTOR_BYTES // FLOATS[dtype].itemsize if contiguous else 1
    blocks = ceil_div(count, THREADS * width)
    output = f"d{_compared(inputs)}"
    launches: tuple[Launch, ...] = ()
    if count:
        options = struct(HEADER, "LossOptions", factor=factor, dy_stands=one_dy)
        arguments = (Buffer(output), np.int64(count), options)
        launches = (_launch(entry, shape, inputs, contiguous, dtype, weighted, arguments, blocks),)
    return Plan(op, "vectors" if contiguous else "strided", launches, {output: spec})


def _contiguous(shape: Ints, inputs: Mapping[str, Ints]) -> bool:
    """Whether all are contiguous, and without weights."""
    if any(name in inputs for name in WEIGHTS):
        return False
    if prod(shape) == 0:
        return True
    return all(s in ((), (1,)) for s in merge_axes(shape, tuple(inputs.values()))[1])


def _compared(inputs: Mapping[str, Ints]) -> str:
    """Name of what is compared with the target: x or logits."""
    return next(iter(inputs))


def _launch(
    entry: str,
    shape: Ints,
    inputs: Mapping[str, Ints],
    contiguous: bool,
    dtype: str,
    weighted: bool,
    arguments: tuple[Argument, ...],
    blocks: int,
) -> Launch:
    backward = "dy" in inputs
    pointers: list[Argument] = [Buffer("dy")] if backward else []
    pointers += [Buffer(_compared(inputs)), Buffer("target")]
    file, name = f"loss/{entry}.cu", entry + "_backward" * backward
    if not contiguous:
        name += "_strided"
        if weighted:
            pointers += [Buffer(n) if n in inputs else None for n in WEIGHTS]
        still = (0,) * len(shape)
        order = (_compared(inputs), "target", *WEIGHTS, *(("dy",) if backward else ()))
        strides = [inputs.get(n, still) for n in order]
        arguments += (strided(shape, strides),)
    kernel = Kernel(file, name, (("SCALAR", SCALAR[dtype]),))
    return Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), (*pointers, *arguments))
