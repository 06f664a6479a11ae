"""The matrices of a convolution that is a matrix product: where they lie, or how they are made."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from pycnn.define.views import View
from pycnn.plan.conv_problem import Four, Problem, Unsupported, flat_grid
from pycnn.plan.unfold import Window, unfold
from pycnn.runtime.plan import Buffer, Kernel, Launch

BLOCK = 256


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
    lines : int, default 0
        If not 0, there are so many matrices for every image, one a line of pixels, in place of
        groups: lines that do not follow each other evenly.
    """

    array: str
    strides: Four
    staged: bool = False
    source: tuple[Buffer, Problem] | None = None
    lines: int = 0

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
        return (_columns(problem.images(images), at, Buffer(self.array)),)


#: Columns of a problem, in place or in workspace; raises `Unsupported`.
Lowering = Callable[[Problem], Matrix]


def columns_1x1(problem: Problem) -> Matrix:
    """The pixels of x that the windows meet, as they lie in memory."""
    require_1x1(problem)
    image, channel, *pixel = problem.x.strides
    steps = (s * step for s, step in zip(problem.stride, pixel, strict=True))
    met = View(
        (*problem.x.shape[:2], *problem.y.shape[2:]), (image, channel, *steps), problem.dtype
    )
    return pixels_of("x", met, problem.channels, problem.groups == 1)


def columns_im2col(problem: Problem) -> Matrix:
    """Columns in the workspace."""
    return Matrix("columns", columns(problem), True, (Buffer("x"), problem))


def columns(problem: Problem) -> Four:
    """Strides of contiguous columns."""
    reduced, pixels = problem.channels * problem.taps, problem.pixels
    return problem.groups * reduced * pixels, reduced * pixels, pixels, 1


def pixels_of(array: str, view: View, channels: int, may_be_lines: bool = False) -> Matrix:
    """Matrices (channels, pixels) of every image and group of an array."""
    image, channel = view.strides[:2]
    last = len(view.shape) - 1
    pixel, line = view.merged(2, last), view.merged(2, last - 1)
    if pixel is not None:
        return Matrix(array, (image, channels * channel, channel, pixel))
    if may_be_lines and line is not None:
        lines = prod(view.shape[2:last])
        return Matrix(array, (image, line, channel, view.strides[last]), lines=lines)
    raise Unsupported(
        f"{array} is read with element strides {view.strides}; allowed: rows of pixels that follow "
        "each other evenly"
    )


def weight_matrix(problem: Problem) -> tuple[Matrix, tuple[Launch, ...]]:
    """The weight as matrices (K/G, C/G R S), and what copies it if need be."""
    view, k = problem.weight, problem.filters
    merged = view.merged(1, len(view.shape) - 1)
    if merged is not None:
        row = view.strides[0]
        return Matrix("weight", (0, k * row, row, merged)), ()
    row = problem.channels * problem.taps
    copied = Buffer("weight_matrix")
    launch = elementwise("im2col", copy_of(view), Buffer("weight"), copied)
    return Matrix(copied.name, (0, k * row, row, 1)), (launch,)


def dy_matrix(problem: Problem) -> Matrix:
    """dy as matrices (K/G, P Q)."""
    view, k, pixels = problem.y, problem.filters, problem.pixels
    try:
        return pixels_of("dy", view, k)
    except Unsupported:
        strides = (view.shape[1] * pixels, k * pixels, pixels, 1)
        return Matrix("dy_matrix", strides, True, (Buffer("dy"), copy_of(view)))


def copy_of(view: View) -> Problem:
    """The convolution whose columns are a contiguous copy of `view`."""
    n, c, *pixels = view.shape
    one = (1,) * len(pixels)
    filters = View.contiguous((1, c, *one), view.dtype)
    y = View.contiguous((n, 1, *pixels), view.dtype)
    pad_begin = (0,) * len(pixels)
    return Problem(view, filters, y, stride=one, pad_begin=pad_begin, dilation=one)


def require_1x1(problem: Problem) -> None:
    """Raise `Unsupported` unless every window is a single element of x."""
    extents = zip(problem.x.shape[2:], problem.y.shape[2:], problem.stride, strict=True)
    inside = all((outs - 1) * step < extent for extent, outs, step in extents)
    if problem.taps > 1 or any(problem.pad_begin) or not inside:
        filters, x, y = (
            "x".join(map(str, v.shape[2:])) for v in (problem.weight, problem.x, problem.y)
        )
        raise Unsupported(f"filter {filters}, {x} to {y}; allowed: filter 1x1, no padding")


def _columns(problem: Problem, source: Buffer, target: Buffer) -> Launch:
    """By rows in shared memory, as `pycnn.unfold` makes them, where four pixels leave together."""
    plain = problem.spatial == 2 and problem.mode == "zeros" and not problem.x.channels_last
    if plain and problem.y.shape[-1] % 4 == 0:
        sides = (problem.weight.shape[2:], problem.dilation, problem.pad_begin, problem.stride)
        window = Window(*((vertical, horizontal) for vertical, horizontal in sides))
        n, c, h, w = problem.x.shape
        if window.positions((h, w)) == problem.y.shape[2:]:
            shape = (n, c * problem.taps, problem.pixels)
            (launch,) = unfold(problem.x, shape, window).launches
            assert isinstance(launch, Launch)
            return replace(launch, args=(source, target, *launch.args[2:]))
    return elementwise("im2col", problem, source, target)


def elementwise(entry: str, problem: Problem, source: Buffer, target: Buffer) -> Launch:
    """A launch of im2col.cu: im2col has a thread for each pixel of y, col2im for each of x."""
    n, c, *pixels = problem.x.shape
    threads = n * c * (problem.pixels if entry == "im2col" else prod(pixels))
    params = problem.params(channels_last=problem.x.channels_last)
    return Launch(
        Kernel("conv/im2col.cu", entry, (problem.scalar,)),
        flat_grid(threads, BLOCK, f"the elements for {entry}"),
        (BLOCK, 1, 1),
        (source, target, params),
    )
