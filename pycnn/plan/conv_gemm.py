"""The algorithms ``im2col`` and ``gemm_1x1``: convolution as matrix products.

For every image and group, with the columns (C/G R S, P Q) of x::

    y (K/G, P Q) = weight (K/G, C/G R S) columns + bias
    dcolumns     = weight^T dy, and dx gathers them
    dweight      = sum over images of dy columns^T

``im2col`` makes columns in the workspace, for as many images at a time as the workspace limit and
`GOAL` allow. With a filter of 1x1, stride 1 and no padding, x is its own columns: ``gemm_1x1``.
A weight or dy whose strides no matrix has is copied to the workspace, by im2col as well.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pycnn.plan.conv_direct import add_parts
from pycnn.plan.conv_problem import Four, Problem, Steps, Unfit, View, flat_grid
from pycnn.plan.gemm import Gemm, gemm_launch
from pycnn.runtime.plan import Buffer, Kernel, Launch

BLOCK = 256

#: Workspace for several images at a time, in bytes: about what stays in the L2 cache of a large
#: GPU until the next kernel reads it. A single image may take more.
GOAL = 32 * 2**20


@dataclass(frozen=True)
class Matrix:
    """A matrix for every image and group.

    Attributes
    ----------
    array : str
        The array it lies in: an argument with all images, or workspace with some at a time.
    strides : (image, group, row, column)
        In elements.
    staged : bool, default False
        Whether it lies in workspace.
    source : (Buffer, Problem) or None
        For staged ones: where im2col makes it from, and how; None if a product writes it.
    """

    array: str
    strides: Four
    staged: bool = False
    source: tuple[Buffer, Problem] | None = None

    @property
    def per_image(self) -> int:
        """Elements of workspace."""
        return self.strides[0] if self.staged else 0

    @property
    def transposed(self) -> Four:
        image, group, row, col = self.strides
        return image, group, col, row

    def at(self, image: int, itemsize: int) -> Buffer:
        """Where it lies when `image` is the first one in the workspace."""
        return Buffer(self.array, 0 if self.staged else image * self.strides[0] * itemsize)

    def fill(self, first: int, images: int) -> tuple[Launch, ...]:
        """What brings images into the workspace."""
        if self.source is None:
            return ()
        array, problem = self.source
        at = Buffer(array.name, first * problem.x.strides[0] * problem.itemsize)
        return (_elementwise("im2col", problem.images(images), at, Buffer(self.array)),)


#: Columns of a problem, in place or in workspace; raises `Unfit`.
Lowering = Callable[[Problem], Matrix]


def columns_1x1(problem: Problem) -> Matrix:
    """x as its own columns."""
    _require_1x1(problem)
    pixel = problem.x.merged(2, 3)
    if pixel is None:
        strides = problem.x.strides
        raise Unfit(f"x has element strides {strides}; allowed: rows that follow each other evenly")
    image, channel = problem.x.strides[:2]
    return Matrix("x", (image, problem.channels * channel, channel, pixel))


def columns_im2col(problem: Problem) -> Matrix:
    """Columns in the workspace."""
    return Matrix("columns", _columns(problem), True, (Buffer("x"), problem))


def forward(problem: Problem, limit: int, lowering: Lowering) -> Steps:
    """y, some images after the other."""
    columns, (weight, copy) = lowering(problem), _weight(problem)
    k, pixels, size = problem.filters, problem.pixels, problem.itemsize
    y = Matrix("y", (problem.groups * k * pixels, k * pixels, pixels, 1))
    step = problem.epilogue.bias
    images = _capacity(problem, limit, columns.per_image, copy.workspace)
    launches = list(copy.launches)
    for first, count in _chunks(problem, images):
        launches += columns.fill(first, count)
        product = Gemm(
            k,
            pixels,
            problem.channels * problem.taps,
            problem.dtype,
            a=weight.strides,
            b=columns.strides,
            c=y.strides,
            batch=(count, problem.groups),
            bias=None if step is None else "row",
            bias_stride=k * (step or 0),
            bias_step=1 if step is None else step,
        )
        operands = weight.at(0, size), columns.at(first, size), y.at(first, size)
        launches.append(gemm_launch(product, *operands, None if step is None else Buffer("bias")))
    return Steps(tuple(launches), {**copy.workspace, **_workspace(images, columns)})


def backward_input(problem: Problem, limit: int, in_place: bool) -> Steps:
    """dx: the product is dx itself (`in_place`, for 1x1), or columns that col2im adds up."""
    dy, (weight, copy) = _dy(problem), _weight(problem)
    size, pixels = problem.itemsize, problem.pixels
    if in_place:
        _require_1x1(problem)
    columns = Matrix("dx" if in_place else "columns", _columns(problem), staged=not in_place)
    images = _capacity(problem, limit, columns.per_image + dy.per_image, copy.workspace)
    launches = list(copy.launches)
    for first, count in _chunks(problem, images):
        launches += dy.fill(first, count)
        product = Gemm(
            problem.channels * problem.taps,
            pixels,
            problem.filters,
            problem.dtype,
            a=weight.transposed,
            b=dy.strides,
            c=columns.strides,
            batch=(count, problem.groups),
        )
        target = columns.at(first, size)
        launches.append(gemm_launch(product, weight.at(0, size), dy.at(first, size), target))
        if not in_place:
            dx = Buffer("dx", first * problem.x.strides[0] * size)
            launches.append(_elementwise("col2im", problem.images(count), target, dx))
    return Steps(tuple(launches), {**copy.workspace, **_workspace(images, columns, dy)})


def backward_weight(problem: Problem, limit: int, lowering: Lowering) -> Steps:
    """dweight: the products of some images at once, then their sum in the order of the images.

    With room for the product of one image only, each is added to dweight where it arises.
    """
    columns, dy = lowering(problem), _dy(problem)
    k, reduced, size = problem.filters, problem.channels * problem.taps, problem.itemsize
    whole = problem.groups * k * reduced
    each = columns.per_image + dy.per_image
    images = _capacity(problem, limit, each)
    if images > 1:
        images = max(1, _room(problem, limit, each + whole))
    target = "partial" if images > 1 else "dweight"
    launches: list[Launch] = []
    for first, count in _chunks(problem, images):
        launches += (*dy.fill(first, count), *columns.fill(first, count))
        product = Gemm(
            k,
            reduced,
            problem.pixels,
            problem.dtype,
            a=dy.strides,
            b=columns.transposed,
            c=(whole, k * reduced, reduced, 1),
            batch=(count, problem.groups),
            accumulate=images == 1 and first > 0,
        )
        operands = dy.at(first, size), columns.at(first, size), Buffer(target)
        launches.append(gemm_launch(product, *operands))
        if images > 1:
            launches.append(add_parts(problem, target, "dweight", count, whole, first > 0))
    partial = {target: images * whole} if images > 1 else {}
    return Steps(tuple(launches), {**_workspace(images, columns, dy), **partial})


def _columns(problem: Problem) -> Four:
    """Strides of contiguous columns."""
    reduced, pixels = problem.channels * problem.taps, problem.pixels
    return problem.groups * reduced * pixels, reduced * pixels, pixels, 1


def _weight(problem: Problem) -> tuple[Matrix, Steps]:
    """The weight as matrices (K/G, C/G R S), and what copies it if need be."""
    view, k = problem.weight, problem.filters
    merged = view.merged(1, 3)
    if merged is not None:
        row = view.strides[0]
        return Matrix("weight", (0, k * row, row, merged)), Steps((), {})
    row = problem.channels * problem.taps
    copied = Buffer("weight_matrix")
    launch = _elementwise("im2col", _copy(problem.dtype, view), Buffer("weight"), copied)
    workspace = {copied.name: view.shape[0] * row}
    return Matrix(copied.name, (0, k * row, row, 1)), Steps((launch,), workspace)


def _dy(problem: Problem) -> Matrix:
    """dy as matrices (K/G, P Q)."""
    view, k, pixels = problem.y, problem.filters, problem.pixels
    merged = view.merged(2, 3)
    if merged is not None:
        return Matrix("dy", (view.strides[0], k * view.strides[1], view.strides[1], merged))
    strides = (view.shape[1] * pixels, k * pixels, pixels, 1)
    return Matrix("dy_matrix", strides, True, (Buffer("dy"), _copy(problem.dtype, view)))


def _copy(dtype: str, view: View) -> Problem:
    """The convolution whose columns are a contiguous copy of `view`."""
    n, c, h, w = view.shape
    return Problem(dtype, view, View.of((1, c, 1, 1)), View.of((n, 1, h, w)))


def _require_1x1(problem: Problem) -> None:
    if problem.taps > 1 or problem.stride != (1, 1) or problem.x.shape[2:] != problem.y.shape[2:]:
        (r, s), (h, w), (p, q) = (v.shape[2:] for v in (problem.weight, problem.x, problem.y))
        raise Unfit(
            f"filter {r}x{s}, stride {problem.stride}, {h}x{w} to {p}x{q}; "
            "allowed: filter 1x1, stride 1, no padding"
        )


def _elementwise(entry: str, problem: Problem, source: Buffer, target: Buffer) -> Launch:
    """A launch of im2col.cu: im2col has a thread for each pixel of y, col2im for each of x."""
    n, c, h, w = problem.x.shape
    threads = n * c * (problem.pixels if entry == "im2col" else h * w)
    return Launch(
        Kernel("conv/im2col.cu", entry, (problem.scalar,)),
        flat_grid(threads, BLOCK, f"the elements for {entry}"),
        (BLOCK, 1, 1),
        (source, target, problem.params()),
    )


def _room(problem: Problem, limit: int, per_image: int, fixed: int = 0) -> int:
    """Images at a time that `limit` and `GOAL` allow, in chunks of about equal size; or 0."""
    n, size = problem.x.shape[0], problem.itemsize
    if (fixed + per_image) * size > limit:
        return 0
    if per_image == 0:
        return n
    most = min(limit // size - fixed, max(GOAL // size, per_image)) // per_image
    return -(-n // -(-n // min(n, most)))


def _capacity(
    problem: Problem, limit: int, per_image: int, fixed: Mapping[str, int] | None = None
) -> int:
    """`_room`, which must be enough for one image."""
    elements = sum((fixed or {}).values())
    images = _room(problem, limit, per_image, elements)
    if not images:
        needed = (elements + per_image) * problem.itemsize
        raise Unfit(f"a single image needs {needed} bytes of workspace; allowed: {limit}")
    return images


def _chunks(problem: Problem, images: int) -> Iterator[tuple[int, int]]:
    """First image and number of images of every chunk."""
    n = problem.x.shape[0]
    for first in range(0, n, images):
        yield first, min(images, n - first)


def _workspace(images: int, *matrices: Matrix) -> dict[str, int]:
    return {m.array: images * m.per_image for m in matrices if m.staged}
