"""Plans of the reductions over axes, and of their gradients."""

from collections.abc import Sequence
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._row_vectors import row_team
from pycnn.plan._slices import choose_team, slices
from pycnn.plan._stages import Group, accumulator, groups, stages
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

VALUES, PLACES = "reduce/reduce.cu", "reduce/argmax.cu"

#: Macro OP of kernels/reduce/reduce.cu.
OPERATORS = {"sum": "Sum", "mean": "Sum", "amax": "Largest", "amin": "Smallest"}

#: Longest slice that gradients leave to one block, where it can be cut evenly.
LONGEST = 8192


def reduction(
    op: str, shape: Ints, strides: Ints, axes: Sequence[int], dtype: str, result: Ints
) -> Plan:
    """Plan of `pycnn.sum`, `mean`, `amax` and `amin`: input ``x``, output ``y``.

    Parameters
    ----------
    op : {"sum", "mean", "amax", "amin"}
    shape, strides : tuple of int
        Of x, in elements.
    axes : sequence of int
        What to reduce, from the front, in order.
    dtype : str
    result : tuple of int
        Shape of y.

    Examples
    --------
    >>> plan = reduction("mean", (8, 4, 7, 7), (196, 49, 7, 1), (2, 3), "float32", (8, 4))
    >>> [launch.kernel.entry for launch in plan.launches]
    ['reduce_rows']
    """
    spec = ArraySpec(result, numpy_dtype(dtype))
    divisor = float(prod(shape[a] for a in axes)) if op == "mean" else 1.0
    defines = (("SCALAR", SCALAR[dtype]), ("OP", OPERATORS[op]))
    launches: list[Launch] = []
    workspace: dict[str, ArraySpec] = {}
    passes = stages(shape, strides, axes, dtype, ordered=False) if prod(result) else []
    source = Buffer("x")
    for number, stage in enumerate(passes):
        y, partial = _targets(number, len(passes))
        if partial is not None:
            workspace[partial.name] = ArraySpec((stage.results,), accumulator(dtype))
        kernel = Kernel(VALUES, f"reduce_{stage.entry}", defines)
        target = struct(VALUES, "Target", parts=stage.parts, divisor=divisor)
        arguments = (source, y, partial, stage.slices, target)
        launches.append(Launch(kernel, stage.grid, stage.block, arguments, stage.shared))
        source = partial or source
    rows = len(passes) == 1 and passes[0].entry == "rows"
    if rows and (launch := _in_registers(shape, strides, axes, dtype, defines, divisor)):
        return Plan(op, "vectors", (launch,), {"y": spec})
    algo = passes[0].entry if passes else "nothing"
    return Plan(op, algo, tuple(launches), {"y": spec}, workspace)


def _in_registers(
    shape: Ints, strides: Ints, axes: Sequence[int], dtype: str, defines: tuple, divisor: float
) -> Launch | None:
    """The launch for contiguous rows of whole vectors that a few lanes hold; else None."""
    first = len(shape) - len(axes)
    if tuple(axes) != tuple(range(first, len(shape))) or strides != row_major(shape):
        return None
    rows, length = prod(shape[:first]), prod(shape[first:])
    team = row_team(length, dtype)
    if team is None or team.name != "vectors":
        return None
    target = struct(VALUES, "Target", parts=1, divisor=divisor)
    kernel = Kernel(VALUES, "reduce_vectors", defines)
    arguments = (Buffer("x"), Buffer("y"), np.int64(rows), np.int32(length), target)
    return Launch(kernel, (team.blocks(rows), 1, 1), team.block, arguments)


def argmax(
    op: str, shape: Ints, strides: Ints, axes: Sequence[int], dtype: str, result: Ints
) -> Plan:
    """Plan of `pycnn.argmax` and `argmin`: input ``x``, output ``y``.

    Parameters
    ----------
    op : {"argmax", "argmin"}
    shape, strides, axes, dtype, result
        As for `reduction`; axes are one or all.
    """
    spec = ArraySpec(result, np.dtype(np.int64))
    launches: list[Launch] = []
    workspace: dict[str, ArraySpec] = {}
    passes = stages(shape, strides, axes, dtype, ordered=True) if prod(result) else []
    source = Buffer("x")
    for number, stage in enumerate(passes):
        y, partial = _targets(number, len(passes))
        if partial is not None:  # struct Indexed
            workspace[partial.name] = ArraySpec((stage.results, 2), np.dtype(np.int64))
        defines = (("SCALAR", SCALAR[dtype]), ("SMALLEST", str(int(op == "argmin"))))
        kernel = Kernel(PLACES, f"argmax_{stage.entry}", defines)
        target = struct(PLACES, "Target", parts=stage.parts, scale=stage.inner)
        arguments = (source, y, partial, stage.slices, target)
        launches.append(Launch(kernel, stage.grid, stage.block, arguments, stage.shared))
        source = partial or source
    algo = passes[0].entry if passes else "nothing"
    return Plan(op, algo, tuple(launches), {"y": spec}, workspace)


def _targets(number: int, stages: int) -> tuple[Buffer | None, Buffer | None]:
    """Where a stage puts its results: y, or values for the next one."""
    return (Buffer("y"), None) if number == stages - 1 else (None, Buffer(f"stage{number}"))


def broadcast(
    op: str, shape: Ints, dy_strides: Ints, axes: Sequence[int], dtype: str, divisor: float
) -> Plan:
    """Plan of `pycnn.sum_backward` and `mean_backward`: input ``dy``, output ``dx``.

    Parameters
    ----------
    op : str
    shape : tuple of int
        Of x.
    dy_strides : tuple of int
        In elements, over the axes of x: 0 where they are reduced.
    axes : sequence of int
    dtype : str
    divisor : float
        Of every gradient.
    """
    spec = ArraySpec(shape, numpy_dtype(dtype))
    launches: tuple[Launch, ...] = ()
    if prod(shape):
        order = _cut(groups(shape, [row_major(shape), dy_strides], axes), 2)
        arguments = (Buffer("dy"), Buffer("dx"))
        launches = (_launch("broadcast", order, dtype, arguments, 1, (np.float64(divisor),)),)
    return Plan(op, "slices", launches, {"dx": spec})


def extreme(
    op: str, shape: Ints, x_strides: Ints, kept: tuple[Ints, Ints], axes: Sequence[int], dtype: str
) -> Plan:
    """Plan of `pycnn.amax_backward` and `amin_backward`: ``dy``, ``x``, ``y`` to ``dx``.

    Parameters
    ----------
    op : str
    shape, x_strides : tuple of int
        Of x, in elements.
    kept : (tuple of int, tuple of int)
        Strides of dy and y, over the axes of x: 0 where they are reduced.
    axes : sequence of int
    dtype : str
    """
    spec = ArraySpec(shape, numpy_dtype(dtype))
    launches: list[Launch] = []
    workspace: dict[str, ArraySpec] = {}
    if prod(shape):
        ties = _kept_strides(shape, axes)
        operands = [x_strides, row_major(shape), *kept, ties]
        order = _cut(groups(shape, operands, axes), len(operands))
        inputs = (Buffer("dy"), Buffer("x"), Buffer("y"), Buffer("dx"))
        counted: Buffer | None = None
        if sum(g.reduced for g in order) > 1:  # equal elements lie in several slices
            counted = Buffer("ties")
            first = _launch("extreme", order, dtype, (*inputs, None, Buffer("slices")), 1)
            launches += [first, *_ties(order, dtype, workspace)]
        launches.append(_launch("extreme", order, dtype, (*inputs, counted, None), 1))
    return Plan(op, "slices", tuple(launches), {"dx": spec}, workspace)


def _ties(order: list[Group], dtype: str, workspace: dict[str, ArraySpec]) -> list[Launch]:
    """Launches from the numbers of equal elements in ``slices`` to their sums in ``ties``."""
    at = _along(order)
    rest = [g for i, g in enumerate(order) if i != at]
    extents = tuple(g.extent for g in rest)
    again = [i for i, g in enumerate(rest) if g.reduced]
    wide = FLOATS[dtype].accumulate
    workspace["slices"] = ArraySpec((prod(extents),), accumulator(dtype))
    results = tuple(e for i, e in enumerate(extents) if i not in again)
    workspace["ties"] = ArraySpec((prod(results),), accumulator(dtype))
    passes = stages(extents, row_major(extents), again, wide, ordered=False)
    launches, source = [], Buffer("slices")
    for number, stage in enumerate(passes):
        last = number == len(passes) - 1
        to = Buffer("ties") if last else Buffer(f"ties{number}")
        if not last:
            workspace[to.name] = ArraySpec((stage.results,), accumulator(dtype))
        defines = (("SCALAR", SCALAR[wide]), ("OP", "Sum"))
        kernel = Kernel(VALUES, f"reduce_{stage.entry}", defines)
        target = struct(VALUES, "Target", parts=stage.parts, divisor=1.0)
        arguments = (source, None, to, stage.slices, target)
        launches.append(Launch(kernel, stage.grid, stage.block, arguments, stage.shared))
        source = to
    return launches


def _along(order: list[Group]) -> int:
    """The group that slices lie along: the last one that is reduced."""
    return max(i for i, g in enumerate(order) if g.reduced)


def _cut(order: list[Group], operands: int) -> list[Group]:
    """There is a reduced group, and none so long that few blocks have all the work, if it can be
    cut into equal pieces."""
    if not any(g.reduced for g in order):
        return [*order, Group(1, (0,) * operands, True)]
    at = _along(order)
    group = order[at]
    if group.extent <= 8 * LONGEST:
        return order
    for piece in range(LONGEST, LONGEST // 8, -1):
        if group.extent % piece == 0:
            outer = tuple(s * piece for s in group.strides)
            pieces = [
                Group(group.extent // piece, outer, True), Group(piece, group.strides, True)
            ]  # fmt: skip
            return [*order[:at], *pieces, *order[at + 1 :]]
    return order


def _launch(
    entry: str,
    order: list[Group],
    dtype: str,
    arguments: tuple[Argument, ...],
    arrays: int,
    last: tuple[Argument, ...] = (),
) -> Launch:
    """A launch over slices along the last reduced group."""
    at = _along(order)
    operands = len(order[0].strides)
    team = choose_team(order[at].extent, at == len(order) - 1, dtype, arrays, reserved=2 * 256 * 8)
    shape = tuple(g.extent for g in order)
    strides = tuple(tuple(g.strides[o] for g in order) for o in range(operands))
    staged = 1 if operands == 2 else 2
    params = slices(shape, at, strides, team, staged=staged)
    kernel = Kernel("reduce/backward.cu", f"{entry}_{team.name}", (("SCALAR", SCALAR[dtype]),))
    grid = (team.blocks(prod(shape) // shape[at]), 1, 1)
    return Launch(kernel, grid, team.block, (*arguments, params, *last), team.shared)


def _kept_strides(shape: Ints, axes: Sequence[int]) -> Ints:
    """Strides of a contiguous array without the reduced axes, over all of them."""
    left = [axis for axis in range(len(shape)) if axis not in axes]
    strides = dict(zip(left, row_major(tuple(shape[a] for a in left)), strict=True))
    return tuple(strides.get(axis, 0) for axis in range(len(shape)))
