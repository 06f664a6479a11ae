"""Launches and transforms of the algorithm ``fft``: kernels/conv/fft.cu and the library's FFT."""

from dataclasses import dataclass

from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan.conv_problem import MODES, Pair, Problem, flat_grid
from pycnn.runtime.plan import Buffer, Kernel, Launch, Transform
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

FILE = "conv/fft.cu"
BLOCK = 256

#: Rows and columns of products that a thread of fft_product computes.
SIDE = 4

#: Columns from which on a few more are no loss.
LONG = 32


@dataclass(frozen=True)
class Planes:
    """Images or filters, and how they lie in the padded images that are transformed.

    Attributes
    ----------
    array : str
        The argument they are read from.
    view : View
    pad_begin : (int, int)
        Row and column of element (0, 0).
    step : (int, int)
        Distance of neighbours.
    used : (int, int)
        Rows and columns that the padding mode fills; the rest is zeros.
    mode : str, default "zeros"
    rotated : bool, default False
        Whether they are read backwards, from the last row and column on.
    """

    array: str
    view: View
    pad_begin: Pair
    step: Pair
    used: Pair
    mode: str = "zeros"
    rotated: bool = False

    @property
    def all(self) -> int:
        """Of all images."""
        return self.view.shape[0] * self.view.shape[1]


@dataclass(frozen=True)
class Sizes:
    """Extents of the padded images, and the precision of sums."""

    rows: int
    cols: int
    dtype: str

    @classmethod
    def of(cls, problem: Problem, used: Pair) -> "Sizes":
        """That hold `used` rows and columns; long rows begin on a sector of memory."""
        sector = 8 if used[1] >= LONG else 1
        cols = sector * good_size(ceil_div(used[1], sector))
        return cls(good_size(used[0]), cols, FLOATS[problem.dtype].accumulate)

    @property
    def pixels(self) -> int:
        return self.rows * self.cols

    @property
    def frequencies(self) -> int:
        return self.rows * (self.cols // 2 + 1)

    @property
    def plane(self) -> int:
        """Bytes of a padded image and its spectrum."""
        return (self.pixels + 2 * self.frequencies) * FLOATS[self.dtype].itemsize


def good_size(least: int) -> int:
    """The smallest product of 2, 3, 5 and 7 that is not below `least`.

    Examples
    --------
    >>> good_size(58), good_size(11), good_size(1)
    (60, 12, 1)
    """
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def transformed(
    problem: Problem, sizes: Sizes, planes: Planes, first: int, count: int, spectra: str
) -> list[Launch | Transform]:
    """Padding and Fourier transform of `count` images or filters from `first` on."""
    view, offset = planes.view, first * planes.view.strides[0]
    n, c, h, w = view.strides
    if planes.rotated:
        offset += (view.shape[2] - 1) * h + (view.shape[3] - 1) * w
        h, w = -h, -w
    number = count * view.shape[1]
    values = {
        "x_n": n,
        "x_c": c,
        "x_h": h,
        "x_w": w,
        "planes": number,
        **dict(zip(("channels", "h", "w"), view.shape[1:], strict=True)),
        "rows": sizes.rows,
        "cols": sizes.cols,
        **dict(zip(("used_rows", "used_cols"), planes.used, strict=True)),
        **dict(zip(("top", "left"), planes.pad_begin, strict=True)),
        **dict(zip(("step_h", "step_w"), planes.step, strict=True)),
        "mode": MODES[planes.mode],
    }
    source, padded = Buffer(planes.array, offset * problem.itemsize), Buffer("padded")
    shape = (number, sizes.rows, sizes.cols)
    return [
        Launch(
            _kernel(problem, "fft_pad"),
            flat_grid(number * sizes.pixels, BLOCK, "the padded elements"),
            (BLOCK, 1, 1),
            (source, padded, struct(FILE, "PadParams", **values)),
        ),
        Transform("rfft2", (padded, Buffer(spectra)), shape, sizes.dtype),
    ]


def product(
    problem: Problem, sizes: Sizes, operands: tuple[Buffer, Buffer], values: dict[str, int]
) -> Launch:
    blocks = ceil_div(sizes.frequencies, BLOCK) * values["groups"]
    blocks *= ceil_div(values["m"], SIDE) * ceil_div(values["n"], SIDE)
    params = struct(FILE, "ProductParams", **values, frequencies=sizes.frequencies)
    return Launch(
        _kernel(problem, "fft_product"),
        flat_grid(blocks, 1, "the products"),
        (BLOCK, 1, 1),
        (*operands, Buffer("product_spectra"), params),
    )


def inverse(sizes: Sizes, planes: int) -> Transform:
    spectra, sums = Buffer("product_spectra"), Buffer("sums")
    return Transform("irfft2", (spectra, sums), (planes, sizes.rows, sizes.cols), sizes.dtype)


def crop(
    problem: Problem,
    sizes: Sizes,
    name: str,
    view: View,
    step: Pair,
    first: int = 0,
    count: int | None = None,
) -> Launch:
    """The result from `first` on: every `step`-th of the sums, through the epilogue."""
    images = view.shape[0] if count is None else count
    values = {
        **dict(zip(("y_n", "y_k", "y_p", "y_q"), view.strides, strict=True)),
        "images": images,
        **dict(zip(("k", "p", "q"), view.shape[1:], strict=True)),
        "rows": sizes.rows,
        "cols": sizes.cols,
        **dict(zip(("step_h", "step_w"), step, strict=True)),
        "channels_last": view.channels_last,
    }
    params = struct(FILE, "CropParams", **values)
    *pointers, residual, epilogue = problem.epilogue.arguments()
    if isinstance(residual, Buffer):
        strides = problem.epilogue.residual or (0,)
        residual = Buffer(residual.name, first * strides[0] * problem.itemsize)
    target = Buffer(name, first * view.strides[0] * problem.itemsize)
    elements = images * view.shape[1] * view.shape[2] * view.shape[3]
    return Launch(
        _kernel(problem, "fft_crop"),
        flat_grid(elements, BLOCK, "the elements of the result"),
        (BLOCK, 1, 1),
        (Buffer("sums"), *pointers, residual, target, params, epilogue),
    )


def _kernel(problem: Problem, entry: str) -> Kernel:
    return Kernel(FILE, entry, (problem.scalar,))


def strides_of(array: str, axes: str, steps: Pair, group: int) -> dict[str, int]:
    """Fields of struct ProductParams."""
    named = {f"{array}_{axis}": step for axis, step in zip(axes, steps, strict=True)}
    return {**named, f"{array}_group": group}
