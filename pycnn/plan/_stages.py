"""Reductions over several axes: groups of axes that merge, and one stage for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.plan._slices import (
    LANES_LENGTH,
    LONG_THREADS,
    THREADS,
    Team,
    choose_team,
    slices,
)
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import Dim3
from pycnn.shapes import ceil_div

#: Blocks that fill a large GPU, and terms below which another block is not worth its start.
ENOUGH_BLOCKS = 512
PART_TERMS = 4096

#: Most threads that share the terms of a column.
SHARERS = 32


@dataclass(frozen=True)
class Group:
    """Neighbouring axes that are one: elements, element strides of each operand, reduced or not."""

    extent: int
    strides: Ints
    reduced: bool


@dataclass(frozen=True)
class Stage:
    """A launch that reduces one group.

    Attributes
    ----------
    entry : str
        End of the entry's name.
    grid, block : (int, int, int)
    shared : int
        Bytes of dynamic shared memory.
    slices : numpy.void
        struct Slices.
    parts : int
        Of each slice, with one result each.
    results : int
        Of the whole stage.
    inner : int
        Reduced elements behind one term; 0 if places of terms are counted from the start.
    """

    entry: str
    grid: Dim3
    block: Dim3
    shared: int
    slices: np.void
    parts: int
    results: int
    inner: int


def groups(shape: Ints, operands: Sequence[Ints], axes: Sequence[int]) -> list[Group]:
    """The fewest groups, in row-major order; without axes of extent 1.

    Examples
    --------
    >>> [(g.extent, g.reduced) for g in groups((2, 3, 4, 5), [(60, 20, 5, 1)], (2, 3))]
    [(6, False), (20, True)]
    """
    groups: list[Group] = []
    for axis, extent in enumerate(shape):
        step = tuple(strides[axis] for strides in operands)
        reduced = axis in axes
        if extent == 1:
            continue
        last = groups[-1] if groups else None
        if (
            last is not None
            and last.reduced == reduced
            and all(o == i * extent for o, i in zip(last.strides, step, strict=True))
        ):
            groups[-1] = Group(last.extent * extent, step, reduced)
        else:
            groups.append(Group(extent, step, reduced))
    return groups


def stages(
    shape: Ints, strides: Ints, axes: Sequence[int], dtype: str, ordered: bool
) -> list[Stage]:
    """Launches that reduce `axes` of an operand, the first one from the operand itself.

    Parameters
    ----------
    shape, strides : tuple of int
        Strides in elements.
    axes : sequence of int
        From the front, in order.
    dtype : str
    ordered : bool
        Whether places are counted, so that inner axes come before outer ones; else the axis with
        the shortest steps comes first.

    Examples
    --------
    >>> [s.entry for s in stages((8, 4, 7, 7), (196, 49, 7, 1), (0, 2, 3), "float32", False)]
    ['rows', 'finish']
    """
    if prod(shape) == 0:
        left = [Group(e, (0,), False) for a, e in enumerate(shape) if a not in axes]
        remaining = [*left, Group(0, (0,), True)]
    else:
        remaining = groups(shape, [strides], axes)
        if not any(g.reduced for g in remaining):
            remaining.append(Group(1, (0,), True))
    reduced = [i for i, g in enumerate(remaining) if g.reduced]
    shortest = min(reduced, key=lambda i: abs(remaining[i].strides[0]))
    stage, remaining = _first(remaining, reduced[-1] if ordered else shortest, dtype)
    stages = [stage]
    inner = stage.inner
    while any(g.reduced for g in remaining):
        at = max(i for i, g in enumerate(remaining) if g.reduced)
        is_part = len(stages) == 1 and stage.parts > 1
        stages.append(_finish(remaining, at, 0 if is_part else inner))
        if not is_part:
            inner *= remaining[at].extent
        remaining = _contiguous([g for i, g in enumerate(remaining) if i != at])
    return stages


def _first(remaining: list[Group], at: int, dtype: str) -> tuple[Stage, list[Group]]:
    """The stage that reads the operand, and what is left to do."""
    group = remaining[at]
    rest = [g for i, g in enumerate(remaining) if i != at]
    count, length = prod(g.extent for g in rest), group.extent
    steps = [abs(g.strides[0]) for g in rest]
    if all(abs(group.strides[0]) <= step for step in steps) and length > 1:
        team = choose_team(length, True, dtype, arrays=1)
    else:
        team = _columns(count, length)
    if team.name == "long_rows":
        team = Team("long_rows", (LONG_THREADS, 1, 1), 1, 0, 0, 0)
    blocks = max(team.blocks(count), 1)
    parts = 1
    if team.name != "rows":
        terms = length * team.slots
        parts = max(1, min(ceil_div(ENOUGH_BLOCKS, blocks), terms // PART_TERMS, LANES_LENGTH))
    stage = Stage(
        team.name,
        (blocks, parts, 1),
        team.block,
        team.shared,
        _slices([*rest, group], team),
        parts,
        count * parts,
        length,
    )
    if parts > 1:
        rest.append(Group(parts, (1,), True))
    return stage, _contiguous(rest)


def _columns(count: int, length: int) -> Team:
    """At least 16 terms a thread; more threads for a slice where slices are few."""
    size = min(_power_of_two(ceil_div(length, 16)), 8)
    while size < SHARERS and THREADS // size >= 2 * count and 16 * size < length:
        size *= 2
    columns = THREADS // size
    return Team("columns", (columns, size, 1), columns, 0, 0, 0)


def _power_of_two(minimum: int) -> int:
    return 1 << max(minimum - 1, 0).bit_length()


def _finish(remaining: list[Group], at: int, inner: int) -> Stage:
    """A stage that reads what an earlier one left."""
    group = remaining[at]
    rest = [g for i, g in enumerate(remaining) if i != at]
    count = prod(g.extent for g in rest)
    innermost = at == len(remaining) - 1
    size = min(_power_of_two(ceil_div(group.extent, 4)), SHARERS) if innermost else 8
    columns = THREADS // size
    team = Team("columns", (columns, size, 1), columns, 0, 0, 0)
    grid = (max(team.blocks(count), 1), 1, 1)
    values = _slices([*rest, group], team)
    return Stage("finish", grid, team.block, 0, values, 1, count, inner)


def _slices(order: list[Group], team: Team) -> np.void:
    """struct Slices along the last group."""
    shape = tuple(g.extent for g in order)
    operand = tuple(g.strides[0] for g in order)
    return slices(shape, len(shape) - 1, (operand,), team, staged=1)


def _contiguous(rest: list[Group]) -> list[Group]:
    strides = row_major(tuple(g.extent for g in rest))
    return [Group(g.extent, (s,), g.reduced) for g, s in zip(rest, strides, strict=True)]


def accumulator(dtype: str) -> np.dtype:
    """dtype of values between stages."""
    return np.dtype(FLOATS[dtype].accumulate)
