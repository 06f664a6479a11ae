"""Plans of the cross-entropy: a pass over the logits, and sums in two stages of fixed order."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from pycnn.plan._slices import Team, choose_team, slices, slices_dtype
from pycnn.plan._strided import Ints, record, row_major, strided, strided_dtype
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan

FILE = "loss/cross_entropy.cu"
THREADS = 256

#: Most partial sums that are left to the last stage; also blocks enough to fill a large GPU.
PARTIALS = 1024

#: struct Classes of the kernel.
CLASSES = np.dtype(
    [(name, np.int64) for name in ("weight_stride", "ignore_index")]
    + [(name, np.float64) for name in ("hard", "smooth")]
)


@dataclass(frozen=True)
class CrossEntropy:
    """The parameters of a cross-entropy.

    Attributes
    ----------
    shape : tuple of int
        Of the logits: (N, C, d1, ...).
    logits_strides, target_strides : tuple of int
        In elements.
    weight_stride : int or None
        In elements; None without class weights.
    dtype : str
        Of the logits, the weights and the loss.
    ignore_index : int
    reduction : {"none", "sum", "mean"}
    label_smoothing : float
    """

    shape: Ints
    logits_strides: Ints
    target_strides: Ints
    weight_stride: int | None
    dtype: str
    ignore_index: int
    reduction: str
    label_smoothing: float

    @property
    def positions(self) -> Ints:
        """Shape of the target."""
        return self.shape[:1] + self.shape[2:]

    @property
    def weight(self) -> Buffer | None:
        return None if self.weight_stride is None else Buffer("weight")

    @property
    def classes(self) -> np.void:
        """struct Classes by value."""
        e = self.label_smoothing
        stride = self.weight_stride or 0
        return record(CLASSES, stride, self.ignore_index, 1.0 - e, e / self.shape[1])

    def kernel(self, name: str) -> Kernel:
        return Kernel(FILE, f"cross_entropy_{name}", (("SCALAR", SCALAR[self.dtype]),))

    def team(self) -> Team:
        """Threads for the classes of one position; their logits are kept on chip."""
        last = prod(self.shape[2:]) == 1
        return choose_team(self.shape[1], last, np.dtype(self.dtype).itemsize, arrays=1)

    def slices(self, cached: int, *others: Ints) -> np.void:
        """struct Slices by value: logits, target, then operands with `others` as strides."""
        target = _with_class_axis(self.target_strides)
        operands = (self.logits_strides, target, *others)
        return record(slices_dtype(len(operands)), *slices(self.shape, 1, operands, cached))


@lru_cache(maxsize=1024)
def cross_entropy(problem: CrossEntropy) -> Plan:
    """Plan of `pycnn.cross_entropy`: ``logits``, ``target`` and ``weight`` to ``loss``.

    Examples
    --------
    >>> p = CrossEntropy((8, 10), (10, 1), (1,), None, "float32", -100, "mean", 0.0)
    >>> [launch.kernel.entry for launch in cross_entropy(p).launches]
    ['cross_entropy_rows', 'cross_entropy_finish']
    """
    p, team, count = problem, problem.team(), prod(problem.positions)
    dtype = np.dtype(p.dtype)
    loss = ArraySpec(p.positions if p.reduction == "none" else (), dtype)
    if count == 0:  # the sum over nothing is filled in by the operation
        return _plan("cross_entropy", p, team, (), {"loss": loss})
    blocks = team.blocks(count)
    reduced = p.reduction != "none"
    if reduced:
        blocks = min(blocks, PARTIALS)
    partials = (Buffer("costs"), Buffer("weights"))
    results: tuple[Argument, ...] = (None, *partials) if reduced else (Buffer("loss"), None, None)
    launch = Launch(
        p.kernel(team.name),
        grid=(blocks, 1, 1),
        block=team.block,
        args=(
            *(Buffer("logits"), Buffer("target"), p.weight, *results),
            p.slices(team.cached, _with_class_axis(row_major(p.positions))),
            p.classes,
        ),
        shared=team.shared,
    )
    if not reduced:
        return _plan("cross_entropy", p, team, (launch,), {"loss": loss})
    below = Buffer("weights") if p.reduction == "mean" else None
    finish = _finish(p, Buffer("costs"), blocks, below, blocks, Buffer("loss"))
    sums = {name: ArraySpec((blocks,), dtype) for name in ("costs", "weights")}
    return _plan("cross_entropy", p, team, (launch, finish), {"loss": loss}, sums)


@lru_cache(maxsize=1024)
def cross_entropy_backward(problem: CrossEntropy, dy_strides: Ints) -> Plan:
    """Plan of `pycnn.cross_entropy_backward`: ``dy`` and the above to ``dlogits``.

    Parameters
    ----------
    problem : CrossEntropy
    dy_strides : tuple of int
        In elements; empty for the gradient of a sum or mean.

    Examples
    --------
    >>> p = CrossEntropy((8, 10), (10, 1), (1,), None, "float32", -100, "mean", 0.0)
    >>> [launch.kernel.entry.removeprefix("cross_entropy_")
    ...  for launch in cross_entropy_backward(p, ()).launches]
    ['target_weights', 'finish', 'backward_rows']
    """
    p, team, count = problem, problem.team(), prod(problem.positions)
    dtype = np.dtype(p.dtype)
    outputs = {"dlogits": ArraySpec(p.shape, dtype)}
    if count == 0:
        return _plan("cross_entropy_backward", p, team, (), outputs)
    # The gradient of one position's cost: dy[position], dy, or dy / (sum of the weights).
    gradient, strides = Buffer("dy"), dy_strides or (0,) * len(p.positions)
    before: tuple[Launch, ...] = ()
    workspace = {}
    if p.reduction == "mean":
        blocks = min(-(-count // THREADS), PARTIALS)
        position = record(strided_dtype(1), *strided(p.positions, [p.target_strides]))
        weights = Launch(
            p.kernel("target_weights"),
            grid=(blocks, 1, 1),
            block=(THREADS, 1, 1),
            args=(
                *(Buffer("target"), p.weight, Buffer("weights")),
                *(np.int64(count), position, p.classes),
            ),
        )
        gradient = Buffer("scale")
        before = (weights, _finish(p, Buffer("dy"), 1, Buffer("weights"), blocks, gradient))
        workspace = {"weights": ArraySpec((blocks,), dtype), "scale": ArraySpec((), dtype)}
    launch = Launch(
        p.kernel(f"backward_{team.name}"),
        grid=(team.blocks(count), 1, 1),
        block=team.block,
        args=(
            *(gradient, Buffer("logits"), Buffer("target"), p.weight, Buffer("dlogits")),
            p.slices(team.cached, _with_class_axis(strides), row_major(p.shape)),
            p.classes,
        ),
        shared=team.shared,
    )
    return _plan("cross_entropy_backward", p, team, (*before, launch), outputs, workspace)


def _finish(
    p: CrossEntropy, above: Buffer, n_above: int, below: Buffer | None, n_below: int, to: Buffer
) -> Launch:
    """The last stage: sum of `above` over sum of `below`."""
    counts = (np.int64(n_above), np.int64(n_below))
    return Launch(p.kernel("finish"), (1, 1, 1), (THREADS, 1, 1), (above, below, to, *counts))


def _with_class_axis(strides: Ints) -> Ints:
    """Strides over (N, d1, ...) as strides over (N, C, d1, ...) that stand still along C."""
    return (*strides[:1], 0, *strides[1:])


def _plan(
    op: str,
    p: CrossEntropy,
    team: Team,
    launches: tuple[Launch, ...],
    outputs: dict[str, ArraySpec],
    workspace: dict[str, ArraySpec] | None = None,
) -> Plan:
    read = prod(p.shape) * np.dtype(p.dtype).itemsize + prod(p.positions) * 8
    written = sum(spec.nbytes for spec in outputs.values())
    flops = 7 * prod(p.shape)
    sizes: dict[str, Any] = {"flops": flops, "bytes": read + written}
    return Plan(op, team.name, launches, outputs, workspace or {}, **sizes)
