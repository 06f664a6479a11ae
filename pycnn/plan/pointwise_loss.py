"""Plans of the losses that compare two tensors: kernels/include/pycnn/pointwise_loss.cuh."""

from collections.abc import Mapping
from dataclasses import replace
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

#: Weights that a kernel may have; those that it has not are not among its arguments.
WEIGHTS = ("weight", "pos_weight")

#: Names of macros and their values, beside the type.
Defines = tuple[tuple[str, str], ...]


def loss(
    op: str,
    entry: str,
    shape: Ints,
    inputs: Mapping[str, Ints],
    dtype: str,
    *,
    weights: tuple[str, ...] = (),
    divisor: float | None,
    factor: float = 1.0,
    parameter: float = 1.0,
    defines: Defines = (),
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
    weights : tuple of str, default ()
        What weights the kernel has.
    divisor : float or None
        What the sum of the costs is divided by; None for costs that are not summed.
    factor : float, default 1.0
        Of every cost.
    parameter : float, default 1.0
        A constant of the loss.
    defines : tuple, default ()
        Further macros.

    Examples
    --------
    >>> strides = {"x": (3, 1), "target": (3, 1)}
    >>> plan = loss("mse_loss", "mse_loss", (2, 3), strides, "float32", divisor=6)
    >>> [launch.kernel.entry for launch in plan.launches]
    ['mse_loss', 'loss_finish']
    """
    count, whole = prod(shape), divisor is None
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
        options = struct(HEADER, "LossOptions", factor=factor, parameter=parameter, dy_stands=0)
        arguments = (*results, np.int64(count), options)
        kernel = _kernel(entry, dtype, defines)
        launches = (_launch(kernel, shape, inputs, contiguous, weights, arguments, blocks),)
    if divisor is not None:
        launches += (finish(dtype, blocks, "loss", divisor=divisor),)
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
    weights: tuple[str, ...] = (),
    factor: float,
    one_dy: bool,
    parameter: float = 1.0,
    defines: Defines = (),
) -> Plan:
    """Plan of a backward: ``dy``, ``x``, ``target`` and weights to ``dx`` (``dlogits``).

    Parameters
    ----------
    op, entry, shape, dtype, weights, parameter, defines
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
        options = struct(
            HEADER, "LossOptions", factor=factor, parameter=parameter, dy_stands=one_dy
        )
        arguments = (Buffer(output), np.int64(count), options)
        kernel = _kernel(f"{entry}_backward", dtype, defines, entry)
        launches = (_launch(kernel, shape, inputs, contiguous, weights, arguments, blocks),)
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


def _kernel(entry: str, dtype: str, defines: Defines, file: str = "") -> Kernel:
    return Kernel(f"loss/{file or entry}.cu", entry, (("SCALAR", SCALAR[dtype]), *defines))


def _launch(
    kernel: Kernel,
    shape: Ints,
    inputs: Mapping[str, Ints],
    contiguous: bool,
    weights: tuple[str, ...],
    arguments: tuple[Argument, ...],
    blocks: int,
) -> Launch:
    dy = ("dy",) if "dy" in inputs else ()
    compared = (_compared(inputs), "target")
    pointers: list[Argument] = [Buffer(n) for n in (*dy, *compared)]
    if not contiguous:
        kernel = replace(kernel, entry=f"{kernel.entry}_strided")
        pointers += [Buffer(n) if n in inputs else None for n in weights]
        still = (0,) * len(shape)
        strides = [inputs.get(n, still) for n in (*compared, *WEIGHTS, *dy)]
        arguments += (strided(shape, strides),)
    return Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), (*pointers, *arguments))
