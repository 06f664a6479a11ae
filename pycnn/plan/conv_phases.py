"""The gradient with respect to x as convolutions of dy with stride 1.

Positions of x with equal residue modulo the stride are reached by the same taps; over them, dx is
a convolution of dy with these taps, reversed, and stride 1. So there is a phase for each pair of
residues.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd, prod

from pycnn.define.views import View
from pycnn.plan.conv_problem import Ints, Pair, Problem, Unsupported
from pycnn.shapes import ceil_div

#: Launches of a gradient, one for every phase.
MAX_PHASES = 16


@dataclass(frozen=True)
class Phase:
    """A convolution that makes every stride-th element of dx.

    Attributes
    ----------
    problem : Problem
        With dy as its x, the taps as its weight and the elements of dx as its y.
    weight, dx : int
        Elements from the start of the weight to the tap that comes first, and from the start of
        dx, or of the residual, to the elements of the phase.
    residual : int
    w_group : int
        Elements from the taps of one group to those of the next.
    """

    problem: Problem
    weight: int
    dx: int
    residual: int
    w_group: int


def phases(problem: Problem) -> Iterator[Phase]:
    """The convolutions that make up dx; those without taps have a weight of extent 0.

    Raises
    ------
    Unsupported
        If x has three spatial axes, if anything but zeros lies beyond its edges, or if there are
        more than `MAX_PHASES`.
    """
    count = prod(problem.stride)
    if problem.spatial != 2:
        raise Unsupported(f"x has {problem.spatial} spatial axes; allowed: 2")
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode!r}; allowed: 'zeros'")
    if count > MAX_PHASES:
        raise Unsupported(f"stride {problem.stride} takes {count} launches; allowed: {MAX_PHASES}")
    x, (w_k, w_c, w_r, w_s) = problem.x, problem.weight.strides
    beside = problem.epilogue.residual
    for rows in _residues(problem, 0):
        for cols in _residues(problem, 1):
            taps = (rows.taps, cols.taps) if rows.taps and cols.taps else (0, 0)
            steps = (-rows.step * w_r, -cols.step * w_s)

            first, stride = (rows.first, cols.first), (rows.stride, cols.stride)
            residual = None if beside is None else _stepped(beside, stride)
            yield Phase(
                replace(
                    problem,
                    x=problem.y,
                    weight=View((x.shape[1], problem.filters, *taps), (w_c, w_k, *steps), x.dtype),
                    y=View(
                        (*x.shape[:2], rows.extent, cols.extent),
                        _stepped(x.strides, stride),
                        x.dtype,
                    ),
                    stride=(1, 1),
                    pad_begin=(rows.pad, cols.pad),
                    dilation=(rows.dilation, cols.dilation),
                    epilogue=replace(problem.epilogue, residual=residual),
                ),
                weight=(rows.last * w_r + cols.last * w_s) if taps[0] else 0,
                dx=_at(first, x.strides),
                residual=0 if beside is None else _at(first, beside),
                w_group=problem.filters * w_k,
            )


def _stepped(strides: Ints, steps: Pair) -> Ints:
    """Strides of every steps[0]-th row and steps[1]-th column."""
    n, c, h, w = strides
    return n, c, steps[0] * h, steps[1] * w


def _at(place: Pair, strides: Ints) -> int:
    """Elements before a row and column."""
    return place[0] * strides[2] + place[1] * strides[3]


@dataclass(frozen=True)
class Residue:
    """Along one axis, the positions first, first + stride, ... of x, and the taps they meet.

    Position i of these meets output i - pad + j*dilation through tap last - j*step, for j < taps.
    """

    first: int
    stride: int
    extent: int
    taps: int
    last: int
    step: int
    dilation: int
    pad: int


def _residues(problem: Problem, axis: int) -> Iterator[Residue]:
    extent, taps = problem.x.shape[2 + axis], problem.weight.shape[2 + axis]
    stride, dilation = problem.stride[axis], problem.dilation[axis]
    step = stride // gcd(stride, dilation)
    for first in range(min(stride, extent)):
        at = first + problem.pad_begin[axis]  # output * stride + tap * dilation
        tap = next((t for t in range(min(step, taps)) if (at - t * dilation) % stride == 0), taps)
        count = ceil_div(taps - tap, step)
        last = tap + (count - 1) * step
        yield Residue(
            first=first,
            stride=stride,
            extent=ceil_div(extent - first, stride),
            taps=count,
            last=last,
            step=step,
            dilation=step * dilation // stride,
            pad=-((at - last * dilation) // stride) if count else 0,
        )
