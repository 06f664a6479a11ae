"""The algorithms ``im2col`` and ``gemm_1x1``: convolution as matrix products.

For every image and group, with the columns (C/G R S, P Q) of x::

    y (K/G, P Q) = epilogue(weight (K/G, C/G R S) columns)
    dcolumns     = weight^T dy, and dx gathers them
    dweight      = sum over images of dy columns^T

``im2col`` makes columns in the workspace, for as many images at a time as is worth it. With a
filter of 1x1 and no padding, x holds its own columns: ``gemm_1x1``. Where the stride leaves gaps
between the rows of pixels, there is a product for every row.
A weight or dy whose strides no matrix has is copied to the workspace, by im2col as well.
"""

from functools import partial
from math import prod

from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan._chunks import chunks, images_at_a_time, in_chunks
from pycnn.plan._epilogue import IDENTITY
from pycnn.plan.conv_algorithm import LONG, MANY, Algorithm, product
from pycnn.plan.conv_columns import (
    Lowering,
    Matrix,
    columns,
    columns_1x1,
    columns_im2col,
    dy_matrix,
    elementwise,
    pixels_of,
    require_1x1,
    weight_matrix,
)
from pycnn.plan.conv_direct import add_parts
from pycnn.plan.conv_problem import Problem, Unsupported, planned
from pycnn.plan.gemm import gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime.plan import ArraySpec, Buffer, Launch, Plan
from pycnn.shapes import ceil_div

#: Terms of a sum from which on `implicit_gemm`, which splits them, is predicted to win on an H200
#: where a product without a split has less than `IDLE` of its smaller tiles (docs/model.md).
SPLIT, SMALL = 512, 64

#: Tiles below which a GPU is idle, and from which on larger ones that span images fill it as well.
IDLE, MANY_TILES = 96, 1024


def forward(problem: Problem, limit: int, lowering: Lowering) -> Plan:
    """y, some images after the other."""
    x, (weight, copies) = lowering(problem), weight_matrix(problem)
    k, row, size = problem.filters, problem.channels * problem.taps, problem.itemsize
    fixed = problem.weight.shape[0] * row if copies else 0
    images = _images(problem, limit, x.per_image * size, fixed * size)
    # In place of groups there may be lines of pixels, which share the weight and the channels.
    inner, pixels = problem.groups, problem.pixels
    w_image, w_group, w_row, w_col = weight.strides
    if x.lines:
        inner, pixels, w_group = x.lines, problem.y.shape[-1], 0
    y, residual = _result(problem, "y", problem.y, x.lines), problem.epilogue.residual
    beside = None if residual is None else View(problem.y.shape, residual, problem.dtype)
    added = None if beside is None else _result(problem, "residual", beside, x.lines)
    launches = list(copies)
    for first, count in chunks(problem.x.shape[0], images):
        launches += x.fill(first, count)
        product = Gemm(
            k,
            pixels,
            row,
            problem.dtype,
            a=(w_image, w_group, w_row, w_col),
            b=x.strides,
            c=y.strides,
            batch=(count, inner),
            epilogue=problem.epilogue,
            channel="row",
            channels=0 if x.lines else k,
            residual=(0, 0, 0, 0) if added is None else added.strides,
        )
        operands = weight.at(0, size), x.at(first, size), y.at(first, size)
        offset = 0 if added is None else added.at(first, size).offset
        launches.append(gemm_launch(product, *operands, residual_offset=offset))
    workspace = {"weight_matrix": problem.array(fixed), **_workspace(problem, images, x)}
    return planned(problem, "y", problem.y.shape, launches, workspace)


def backward_input(problem: Problem, limit: int, in_place: bool) -> Plan:
    """dx: the product is dx itself (`in_place`, for 1x1), or columns that col2im adds up.

    The columns hold unrounded sums.
    """
    if problem.epilogue != IDENTITY:
        raise Unsupported("the sums of dx have an epilogue; allowed: none")
    dy, (weight, copies) = dy_matrix(problem), weight_matrix(problem)
    size, k, row = problem.itemsize, problem.filters, problem.channels * problem.taps
    fixed = problem.weight.shape[0] * row if copies else 0
    if in_place:
        _require_every_pixel(problem)
        target = pixels_of("dx", problem.x, problem.channels)
    else:
        target = Matrix("columns", columns(problem), staged=True)
    each = target.per_image * problem.sum_size + dy.per_image * size
    images = _images(problem, limit, each, fixed * size)
    launches = list(copies)
    for first, count in chunks(problem.x.shape[0], images):
        launches += dy.fill(first, count)
        product = Gemm(
            row,
            problem.pixels,
            k,
            problem.dtype,
            a=weight.transposed,
            b=dy.strides,
            c=target.strides,
            batch=(count, problem.groups),
            wide=not in_place,
        )
        part = target.at(first, size)
        launches.append(gemm_launch(product, weight.at(0, size), dy.at(first, size), part))
        if not in_place:
            dx = Buffer("dx", first * problem.x.strides[0] * size)
            launches.append(elementwise("col2im", problem.images(count), part, dx))
    workspace = _workspace(problem, images, dy)
    workspace["columns"] = problem.sums(images * target.per_image)
    workspace["weight_matrix"] = problem.array(fixed)
    return planned(problem, "dx", problem.x.shape, launches, workspace)


def backward_weight(problem: Problem, limit: int, lowering: Lowering) -> Plan:
    """dweight: unrounded products of some images at once, then their sum.

    The next images add theirs to those. Without room for that, the product of each image is added
    to dweight where it arises, unless that would round it every time.
    """
    x, dy = lowering(problem), dy_matrix(problem)
    if x.lines:
        raise Unsupported("the pixels of x lie in separate lines; allowed: rows that follow evenly")
    n, k, size = problem.x.shape[0], problem.filters, problem.itemsize
    row, each = problem.channels * problem.taps, (x.per_image + dy.per_image) * size
    whole = problem.groups * k * row
    images, target = 1, "partial"
    try:
        images = _images(problem, limit, each + whole * problem.sum_size)
    except Unsupported:
        if problem.sum_size > size and n > 1:
            raise
        target = "dweight"
        _images(problem, limit, each)
    if n == 1:
        target = "dweight"
    launches: list[Launch] = []
    for first, count in chunks(n, images):
        launches += (*dy.fill(first, count), *x.fill(first, count))
        product = Gemm(
            k,
            row,
            problem.pixels,
            problem.dtype,
            a=dy.strides,
            b=x.transposed,
            c=(whole, k * row, row, 1),
            batch=(count, problem.groups),
            accumulate=first > 0,
            wide=target == "partial",
        )
        operands = dy.at(first, size), x.at(first, size), Buffer(target)
        launches.append(gemm_launch(product, *operands))
    workspace = _workspace(problem, images, x, dy)
    if target == "partial":
        launches.append(add_parts(problem, target, "dweight", images, whole))
        workspace[target] = problem.sums(images * whole)
    return planned(problem, "dweight", problem.weight.shape, launches, workspace)


def _result(problem: Problem, array: str, view: View, lines: int) -> Matrix:
    """What a product writes (or adds) for every image and group, or line of pixels."""
    if not lines:
        return pixels_of(array, view, problem.filters)
    last = len(view.shape) - 1
    line = view.merged(2, last - 1)
    if line is None:
        raise Unsupported(
            f"{array} has element strides {view.strides}; allowed: evenly spaced rows"
        )
    image, channel, *_, pixel = view.strides
    return Matrix(array, (image, line, channel, pixel))


def _require_every_pixel(problem: Problem) -> None:
    """Raise `Unsupported` unless the products cover dx."""
    require_1x1(problem)
    if problem.x.shape[2:] != problem.y.shape[2:]:
        raise Unsupported(f"stride {problem.stride} leaves gaps in dx; allowed: stride 1")


def _images(problem: Problem, limit: int, each: int, fixed: int = 0) -> int:
    """Images at a time, each of which takes some bytes of workspace."""
    return images_at_a_time(problem.x.shape[0], each, fixed, limit)


def _workspace(problem: Problem, images: int, *matrices: Matrix) -> dict[str, ArraySpec]:
    return {m.array: problem.array(images * m.per_image) for m in matrices if m.staged}


#: Filters from which on a product of 16 bits is one of tensor cores.
WIDE = 16


def _score_of_columns(problem: Problem, direction: str) -> tuple[int, str]:
    half, (outputs, _) = FLOATS[problem.dtype].is_half, product(problem, direction)
    if direction == "forward" and half and outputs >= WIDE:
        return 44, "{sizes}: tensor cores, where the channels cannot be copied as they are"
    return 30, f"{{sizes}}: the columns of a matrix product pay from {MANY} of {LONG} on"


def _score_in_place(problem: Problem, direction: str) -> tuple[int, str]:
    """With a stride it is many narrow products."""
    if max(problem.stride) > 1:
        return 30, "a matrix product for each row of pixels"
    outputs, terms = product(problem, direction)
    images, plane = problem.y.shape[0], prod(problem.y.shape[2:])
    if problem.x.channels_last:  # a product of all images together
        images, plane = 1, images * plane
    tiles = ceil_div(outputs, SMALL) * images * ceil_div(plane, SMALL) * problem.groups
    alone = direction == "forward" and not FLOATS[problem.dtype].is_half
    if alone and terms >= SPLIT and tiles < IDLE:
        return 39, f"{tiles} tiles leave a GPU idle: sums of {SPLIT} terms are better split"
    if alone and plane <= SMALL and tiles >= MANY_TILES:
        return 39, f"{tiles} tiles of one image each: better larger ones over several"
    return 50, "it is a matrix product as it stands"


IM2COL = Algorithm(
    "im2col",
    {
        "forward": in_chunks(partial(forward, lowering=columns_im2col)),
        "backward_input": in_chunks(partial(backward_input, in_place=False)),
        "backward_weight": in_chunks(partial(backward_weight, lowering=columns_im2col)),
    },
    _score_of_columns,
    spatial=3,
    finishes_dx=False,
)

GEMM_1X1 = Algorithm(
    "gemm_1x1",
    {
        "forward": in_chunks(partial(forward, lowering=columns_1x1)),
        "backward_input": in_chunks(partial(backward_input, in_place=True)),
        "backward_weight": in_chunks(partial(backward_weight, lowering=columns_1x1)),
    },
    _score_in_place,
    spatial=3,
    finishes_dx=False,
)
