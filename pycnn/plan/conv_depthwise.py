"""The algorithm ``depthwise``: one filter for each channel, rows of x in registers."""

from dataclasses import replace
from math import prod

from pycnn.define.views import View
from pycnn.plan import depthwise_channels, depthwise_planes
from pycnn.plan.conv_algorithm import Algorithm, unlimited
from pycnn.plan.conv_direct import add_parts
from pycnn.plan.conv_problem import Pair, Problem, Unsupported, flat_grid, planned
from pycnn.runtime.plan import Argument, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: THREADS of kernels/include/pycnn/depthwise.cuh, and the columns of a team's widest row.
THREADS = 128
TEAMS, CHUNKS = (8, 16, 32), 2

#: Of dx at stride 2 with channels last, where a lane has a channel, and WIDE columns.
LANES, WIDE = 32, 14

#: Rows of dx in a strip: each loads a row of dy more, and fewer strips fill a GPU less.
ROWS_OF_INPUT = 28

#: Threads of a multiprocessor, and outputs for each of them below which ``direct``, which has a
#: thread an output, is predicted to be faster (docs/model.md). Not yet measured on a GPU.
RESIDENT, WAVES = 2048, 2

#: Filters that are compiled in.
SIDES = (3, 5)


def forward(problem: Problem) -> Plan:
    """y, a team of lanes for a strip of rows."""
    _require(problem)
    launch = _convolution(problem, "_forward", ("x", Buffer("weight"), "y"))
    return planned(problem, "y", problem.y.shape, (launch,))


def backward_input(problem: Problem) -> Plan:
    """dx: y of the convolution of dy with the filters rotated; at stride 2, four of them in one."""
    _require(problem)
    k, c, w_r, w_s = problem.weight.strides
    side, stride = problem.weight.shape[-1], problem.stride[0]
    window = ceil_div(side, stride)  # elements of dy along an axis that `stride` outputs need
    rotated = replace(
        problem,
        x=problem.y,
        y=problem.x,
        weight=View(problem.weight.shape, (k, c, -w_r, -w_s), problem.dtype),
        pad_begin=tuple(window - 1 - ceil_div(before, stride) for before in problem.pad_begin),
    )
    last = Buffer("weight", (side - 1) * (w_r + w_s) * problem.itemsize)
    part = "_forward" if stride == 1 else "_input"
    top, left = (before % stride for before in problem.pad_begin)
    launch = _convolution(rotated, part, ("dy", last, "dx"), (top, left))
    return planned(problem, "dx", problem.x.shape, (launch,))


def backward_weight(problem: Problem) -> Plan:
    """dweight: sums over strips of rows, then the sum of these in their order."""
    _require(problem)
    size = problem.groups * problem.taps
    of = depthwise_channels if problem.x.channels_last else depthwise_planes
    launch, parts = of.backward_weight(problem)
    added = add_parts(problem, "partial", "dweight", parts, size)
    workspace = {"partial": problem.sums(parts * size)}
    return planned(problem, "dweight", problem.weight.shape, (launch, added), workspace)


def _require(problem: Problem) -> None:
    """Raise `Unsupported` for what is not compiled in."""
    if problem.channels > 1 or problem.filters > 1:
        raise Unsupported(
            f"{problem.channels} channels and {problem.filters} filters a group; allowed: 1 and 1"
        )
    sides = problem.weight.shape[2:]
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] not in SIDES:
        raise Unsupported(f"filter {'x'.join(map(str, sides))}; allowed: 3x3, 5x5")
    if problem.stride not in ((1, 1), (2, 2)) or problem.dilation != (1, 1):
        raise Unsupported(
            f"stride {problem.stride}, dilation {problem.dilation}; allowed: stride (1, 1) or "
            "(2, 2), dilation (1, 1)"
        )
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode}; allowed: zeros")
    if max(problem.pad_begin) >= sides[0]:
        raise Unsupported(f"padding {problem.pad_begin}; allowed: less than the filter")


def _strips(problem: Problem, most: int, up: int = 1) -> tuple[int, int, int]:
    """Parts of a row, parts of a column, and rows in one of these, of outputs up x up at a time."""
    p, q = problem.y.shape[2:]
    strips = ceil_div(p, most)
    rows = ceil_div(ceil_div(p, strips), up) * up
    if problem.x.channels_last:
        return ceil_div(q, WIDE), strips, rows
    team, chunks = _team(ceil_div(q, up))
    return ceil_div(q, up * team * chunks), strips, rows


def _team(columns: int) -> tuple[int, int]:
    """Lanes of a team, and outputs of a lane, in a row of so many."""
    team = next((t for t in TEAMS if t >= columns), TEAMS[-1])
    return team, min(CHUNKS, ceil_div(columns, team))


def _convolution(
    problem: Problem, part: str, arrays: tuple[str, Buffer, str], odd: Pair = (0, 0)
) -> Launch:
    """Of the array that comes first with the filters, into the last."""
    x, weight, y = arrays
    *pointers, finish = problem.epilogue.arguments()
    arguments = (Buffer(x), weight, *pointers, Buffer(y))
    if part == "_forward":
        of = depthwise_channels if problem.x.channels_last else depthwise_planes
        return of.forward(problem, arguments, finish)
    return _launch(problem, part, ROWS_OF_INPUT, arguments, (finish,), odd)


def _launch(
    problem: Problem,
    part: str,
    rows: int,
    arrays: tuple[Argument, ...],
    rest: tuple[Argument, ...] = (),
    odd: Pair = (0, 0),
) -> Launch:
    """Of the kernel for this layout; `part`: "_forward", "_weight", or "_input" with stride 2."""
    dx = part == "_input"
    up = problem.stride[0] if dx else 1
    segments, strips, rows = _strips(problem, rows, up)
    shares = problem.x.shape[0] * segments * strips
    if problem.x.channels_last:
        entry = "depthwise_nhwc_input"
        team, chunks, block = 0, 0, (LANES, THREADS // LANES, 1)
        blocks = ceil_div(problem.groups, LANES) * ceil_div(shares, block[1])
    else:
        entry = f"depthwise{part}"
        (team, chunks), block = _team(ceil_div(problem.y.shape[-1], up)), (THREADS, 1, 1)
        blocks = ceil_div(shares * problem.groups * team, THREADS)
    larger = problem.y if dx else problem.x
    *steps, step = larger.strides
    pairs = step == 1 and not any(s % 2 for s in (*steps, larger.shape[-1]))
    params = struct(
        "pycnn/depthwise.cuh", "DepthwiseParams",
        conv=problem.params(),
        lanes=team, chunks=chunks, segments=segments, strips=strips, rows=rows,
        pairs=pairs, odd_top=odd[0], odd_left=odd[1],
    )  # fmt: skip
    defines = [problem.scalar, ("KSIZE", str(problem.weight.shape[-1]))]
    if not dx:
        defines.append(("STRIDE", str(problem.stride[0])))
    return Launch(
        Kernel(f"conv/depthwise{part.removeprefix('_forward')}.cu", entry, tuple(defines)),
        flat_grid(blocks, 1, "the strips of rows"),
        block,
        (*arrays, params, *rest),
    )


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    """Few strips of rows, one after the other in a thread, leave a GPU idle."""
    outputs = prod(problem.y.shape)
    if direction == "forward" and outputs < WAVES * RESIDENT * target().processors:
        return 54, f"{outputs} outputs, too few for strips of rows; better a thread for each"
    return 60, "one filter a channel: every element of x is loaded once"


DEPTHWISE = Algorithm(
    "depthwise",
    {
        "forward": unlimited(forward),
        "backward_input": unlimited(backward_input),
        "backward_weight": unlimited(backward_weight),
    },
    _score,
)
