"""Plans of normalisation whose slices fit on chip, or are read again: kernels/norm/layer.cu."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan import _norm, norm_layer_gradient
from pycnn.plan._norm import VECTOR_BYTES, computed_in, kernel, rows_walk
from pycnn.plan._row_vectors import RowTeam, row_team
from pycnn.plan._strided import Ints, row_major, strided
from pycnn.plan.norm_batch import Channels, Specs, merge_sums, sums
from pycnn.runtime.plan import ArraySpec, Buffer, Dim3, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

Views = Mapping[str, View]

#: Shared memory that every architecture gives a block without being asked.
SHARED_BYTES = 48 * 1024

#: Longest slice that a warp works on; beyond, a block.
LANES_LENGTH = 1024
THREADS = 512

#: What kernels of norm/gradient.cu read of the workspace: mean and deviation in one array.
PACKED = ("statistics", None, None)

#: Most vectors of a group of channels that a block keeps in registers, and GROUP_VECTORS of them.
GROUP_MOST, GROUP_VECTORS = 4096, 5

#: Blocks beyond which a team takes several slices, and most of them.
BLOCKS = 256
STEPS = 64


@dataclass(frozen=True)
class Slices:
    """What is normalised together, as axes of the tensor: slices, and elements of a slice.

    Attributes
    ----------
    start, along : tuple of int
        Extents of the axes that number the slices, and of those of a slice.
    starts, alongs : tuple of tuple of int
        The strides of each operand there.
    period, channels, spread : int
        Element e of slice s has weight number (s mod period) * channels + e // spread.
    """

    start: Ints
    along: Ints
    starts: tuple[Ints, ...]
    alongs: tuple[Ints, ...]
    period: int = 1
    channels: int = 0
    spread: int = 1


@dataclass(frozen=True)
class Team:
    """A block: threads, slices at a time, and what of a slice it keeps in shared memory."""

    name: str
    block: Dim3
    slots: int
    cached: int
    affine_cached: bool
    shared: int


def choose_team(length: int, dtype: str, kept: int, affine: bool) -> Team:
    """The team for slices of `length` elements, of `kept` operands.

    Parameters
    ----------
    length : int
    dtype : str
    kept : int
        Operands of which the slice waits in shared memory.
    affine : bool
        Whether every element of a slice has a weight of its own.

    Examples
    --------
    >>> choose_team(96, "float32", 1, True).block, choose_team(5000, "float32", 1, True).name
    ((32, 16, 1), 'block')
    """
    itemsize = FLOATS[dtype].itemsize
    width = VECTOR_BYTES // itemsize
    number = computed_in(dtype).itemsize
    parameters = 16 * ceil_div(2 * length * number, 16) if affine else 0
    padded = ceil_div(length, width) * width  # every slice begins with a whole vector
    each = padded * itemsize * kept
    if length <= LANES_LENGTH:
        lanes = min(32, 1 << (ceil_div(max(length, 1), width) - 1).bit_length())
        slots = THREADS // lanes
        while parameters + slots * each > SHARED_BYTES and slots * lanes > 32:
            slots //= 2
        shared = parameters + slots * each
        return Team("lanes", (lanes, slots, 1), slots, padded, affine, shared)
    room = SHARED_BYTES - 32 * 4 * number  # a partial result for each warp
    affine = affine and parameters + each <= room
    cached = min(padded, (room - parameters * affine) // (itemsize * kept) // width * width)
    shared = parameters * affine + cached * itemsize * kept
    return Team("block", (THREADS, 1, 1), 1, cached, affine, shared)


def fits(length: int, dtype: str, kept: int) -> bool:
    """Whether a slice with one weight for many elements is read only once."""
    return choose_team(length, dtype, kept, affine=False).cached >= length


def layer_norm(views: Views, dtype: str, axes: int, eps: float) -> Plan:
    """Plan of `pycnn.layer_norm`: ``x``, ``weight`` and ``bias`` to ``y``.

    Parameters
    ----------
    views : mapping of str to View
    dtype : str
    axes : int
        How many of the last axes are normalised together.
    eps : float

    Examples
    --------
    >>> x = View((2, 3, 5), (15, 5, 1), "float32")
    >>> layer_norm({"x": x}, "float32", 1, 1e-5).launches[0].kernel.entry
    'layer_lanes'
    """
    x = views["x"]
    s = _last_axes(x.shape, (x.strides, row_major(x.shape)), axes)
    return forward("layer_norm", views, dtype, s, eps)


def layer_norm_backward(views: Views, dtype: str, axes: int, eps: float, outputs: Specs) -> Plan:
    """Plan of `pycnn.layer_norm_backward`: ``dx``, and ``dweight`` and ``dbias`` by rows."""
    x = views["x"]
    strides = (views["dy"].strides, x.strides, row_major(x.shape))
    s = _last_axes(x.shape, strides, axes)
    rows, length = prod(s.start), prod(s.along)
    if _contiguous(views, s, "dy", "x") and norm_layer_gradient.team(rows, length, dtype):
        return norm_layer_gradient.one_pass(views, dtype, rows, length, eps, outputs)
    whole: dict[str, View] = {**views, "x": View((rows, length), (length, 1), dtype)}
    width = VECTOR_BYTES // FLOATS[dtype].itemsize
    w = rows_walk((1, s.start, s.along), (0,) * 3, s.starts, s.alongs, width)
    workspace = {"sums": _norm.partial(w, 2, dtype)}
    merged = merge_sums(whole, dtype, Channels("NCHW"), outputs, w)
    if not prod(x.shape):
        launches = (merged,) if length else ()
        return Plan("layer_norm_backward", "nothing", launches, outputs, workspace)
    launch, team, more = backward(views, dtype, s, eps)
    arguments = (
        *(Buffer("dy"), Buffer("x"), Buffer("statistics"), Buffer("sums"), w.parameters),
        _norm.parameters({}, dtype, length, packed=True),
    )
    entry = kernel("gradient", "gradient_sums_slices", dtype)
    summed = Launch(entry, w.grid, w.block, arguments)
    every = (launch, summed, merged)
    return Plan("layer_norm_backward", team, every, outputs, workspace | more)


def group_norm(op: str, views: Views, dtype: str, groups: int, eps: float) -> Plan:
    """Plan of group and instance norm in NCHW, where a group fits on chip."""
    x = views["x"]
    s = _groups(x.shape, (x.strides, row_major(x.shape)), groups)
    if team := group_team(views, dtype, groups):
        arguments = (Buffer("x"), _optional(views, "weight"), _optional(views, "bias"), Buffer("y"))
        launch = _launch_rows("group", views, dtype, s, eps, team, arguments)
        return Plan(op, team.name, (launch,), {"y": ArraySpec(x.shape, numpy_dtype(dtype))})
    return forward(op, views, dtype, s, eps)


def group_team(views: Views, dtype: str, groups: int) -> RowTeam | None:
    """Threads that keep a group in registers: contiguous ones, whose channels are whole vectors."""
    x = views["x"]
    affine = [views[n] for n in ("weight", "bias") if n in views]
    whole = all(v.strides == row_major(v.shape) for v in (x, *affine))
    n, c, *rest = x.shape
    spread = prod(rest)
    length = c // groups * spread
    ragged = spread % (VECTOR_BYTES // FLOATS[dtype].itemsize)
    if not whole or not n * length or ragged or c >= 2**31:
        return None
    return row_team(length, dtype, GROUP_MOST, GROUP_VECTORS)


def group_norm_backward(
    op: str, views: Views, dtype: str, groups: int, eps: float, outputs: Specs
) -> Plan:
    """Plan of its gradient: ``dx``, then ``dweight`` and ``dbias`` by channels."""
    x = views["x"]
    s = _groups(x.shape, (views["dy"].strides, x.strides, row_major(x.shape)), groups)
    launch, team, workspace = backward(views, dtype, s, eps)
    channels = Channels("NCHW", True, x.shape[1] // groups, eps)
    summed, more, _ = sums(views, dtype, channels, outputs, PACKED)
    return Plan(op, team, (launch, *summed), outputs, workspace | more)


def forward(op: str, views: Views, dtype: str, s: Slices, eps: float) -> Plan:
    """One launch: slices of x, normalised."""
    x = views["x"]
    launches: tuple[Launch, ...] = ()
    spec = ArraySpec(x.shape, numpy_dtype(dtype))
    arguments = (Buffer("x"), _optional(views, "weight"), _optional(views, "bias"), Buffer("y"))
    if rows := _row_team(views, dtype, s, "x"):
        launch = _launch_rows("layer", views, dtype, s, eps, rows, arguments)
        return Plan(op, rows.name, (launch,), {"y": spec})
    team = choose_team(prod(s.along), dtype, 1, _own_weights(views, s))
    if prod(x.shape):
        launches = (_launch("layer", views, dtype, s, eps, team, arguments),)
    return Plan(op, team.name, launches, {"y": spec})


def backward(views: Views, dtype: str, s: Slices, eps: float) -> tuple[Launch, str, Specs]:
    """``dx``, and the ``statistics`` in workspace; and the name of the team."""
    arguments = (
        *(Buffer("dy"), Buffer("x"), _optional(views, "weight"), Buffer("dx")),
        Buffer("statistics"),
    )
    workspace = {"statistics": ArraySpec((prod(s.start), 4), computed_in(dtype))}
    if rows := _row_team(views, dtype, s, "dy", "x"):  # too long for one pass: a block has one
        launch = _launch_rows("layer_backward", views, dtype, s, eps, rows, arguments)
        return launch, rows.name, workspace
    team = choose_team(prod(s.along), dtype, 2, _own_weights(views, s))
    launch = _launch("layer_backward", views, dtype, s, eps, team, arguments)
    return launch, team.name, workspace


def _row_team(views: Views, dtype: str, s: Slices, *operands: str) -> RowTeam | None:
    """Threads that keep a slice in registers."""
    return row_team(prod(s.along), dtype) if _contiguous(views, s, *operands) else None


def _contiguous(views: Views, s: Slices, *operands: str) -> bool:
    """Whether slices are there, contiguous, and with weights of their own."""
    there = [views[n] for n in ("weight", "bias", *operands) if n in views]
    whole = all(v.strides == row_major(v.shape) for v in there)
    return whole and not s.channels and prod(s.start) > 0


def _launch_rows(
    name: str, views: Views, dtype: str, s: Slices, eps: float, team: RowTeam, arguments: tuple
) -> Launch:
    rows = prod(s.start)
    weight_wide, bias_wide = (_norm.is_wide(views.get(n), dtype) for n in ("weight", "bias"))
    parameters = struct(
        "norm/layer_vectors.cu", "Layer",
        rows=rows, length=prod(s.along), weight_wide=weight_wide, bias_wide=bias_wide,
        groups=s.period, channels=s.channels, spread=s.spread, eps=eps,
    )  # fmt: skip
    entry = kernel("layer_vectors", f"{name}_{team.entry}", dtype)
    return Launch(entry, (team.blocks(rows), 1, 1), team.block, (*arguments, parameters))


def _launch(
    name: str, views: Views, dtype: str, s: Slices, eps: float, team: Team, arguments: tuple
) -> Launch:
    count = prod(s.start)
    steps = max(min(count // (team.slots * BLOCKS), STEPS), 1)
    affine = [views.get(n) for n in ("weight", "bias")]
    there = next((v for v in affine if v is not None), None)
    shape = () if there is None else there.shape
    nothing = (0,) * len(shape)
    weight_wide, bias_wide = (_norm.is_wide(v, dtype) for v in affine)
    parameters = struct(
        "norm/layer.cu", f"Layer<{len(s.starts)}>",
        count=count, length=prod(s.along), steps=steps, cached=team.cached,
        period=s.period, channels=s.channels, spread=s.spread,
        weight_wide=weight_wide, bias_wide=bias_wide,
        affine_cached=team.affine_cached,
        eps=eps,
        start=strided(s.start, s.starts),
        along=strided(s.along, s.alongs),
        affine=strided(shape, [nothing if v is None else v.strides for v in affine]),
    )  # fmt: skip
    return Launch(
        kernel("layer", f"{name}_{team.name}", dtype),
        (ceil_div(count, team.slots * steps), 1, 1),
        team.block,
        (*arguments, parameters),
        shared=team.shared,
    )


def _last_axes(shape: Ints, strides: tuple[Ints, ...], axes: int) -> Slices:
    cut = len(shape) - axes
    starts, alongs = tuple(s[:cut] for s in strides), tuple(s[cut:] for s in strides)
    return Slices(shape[:cut], shape[cut:], starts, alongs)


def _groups(shape: Ints, strides: tuple[Ints, ...], groups: int) -> Slices:
    n, c, *rest = shape
    each = c // groups
    starts = tuple((s[0], s[1] * each) for s in strides)
    alongs = tuple(s[1:] for s in strides)
    return Slices((n, groups), (each, *rest), starts, alongs, groups, each, prod(rest))


def _own_weights(views: Views, s: Slices) -> bool:
    return s.channels == 0 and ("weight" in views or "bias" in views)


def _optional(views: Views, name: str) -> Buffer | None:
    return Buffer(name) if name in views else None
