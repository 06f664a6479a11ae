"""The algorithm ``fft``: convolution as a product of spectra, for large filters.

With P = padded x and F the two-dimensional Fourier transform of the library (cuFFT or NumPy's)::

    F(y) = sum over c of F(P) conj(F(weight))

y is every stride-th element of the result. The gradients are products of the same kind:
that with respect to x, of dy spread by the stride, with filters rotated by half a turn; that with
respect to the weight, of P and dy spread by the stride, summed over images. Images are as long as
the windows reach, rounded up to products of 2, 3, 5 and 7, so that nothing wraps around.

Padded images and spectra lie in the workspace, in the precision of sums; memory that the library
takes inside a transform comes on top. A NaN or an infinity spreads over all of its image.

M. Mathieu, M. Henaff, Y. LeCun, "Fast Training of Convolutional Networks through FFTs", ICLR 2014.
"""

from dataclasses import replace

from pycnn.define.views import View
from pycnn.plan._chunks import chunks, images_at_a_time, in_chunks
from pycnn.plan._epilogue import Epilogue
from pycnn.plan._fft import Planes, Sizes, crop, inverse, product, strides_of, transformed
from pycnn.plan.conv_algorithm import Algorithm
from pycnn.plan.conv_problem import Pair, Problem, Unsupported, planned
from pycnn.runtime.plan import ArraySpec, Buffer, Launch, Plan, Transform


def forward(problem: Problem, limit: int) -> Plan:
    """y, some images after the other."""
    used = _reach(problem)
    x = Planes("x", problem.x, _pair(problem.pad_begin), (1, 1), used, problem.mode)
    return _filtered(problem, limit, x, ("y", problem.y), _pair(problem.stride), rotated=False)


def backward_input(problem: Problem, limit: int) -> Plan:
    """dx: a convolution of dy, spread by the stride, with filters rotated by half a turn."""
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode}; allowed for the gradient: zeros")
    spans = _spans(problem)
    pad_begin = spans[0] - problem.pad_begin[0], spans[1] - problem.pad_begin[1]
    used = problem.x.shape[2] + spans[0], problem.x.shape[3] + spans[1]
    dy = Planes("dy", problem.y, pad_begin, _pair(problem.stride), used)
    return _filtered(problem, limit, dy, ("dx", problem.x), (1, 1), rotated=True)


def backward_weight(problem: Problem, limit: int) -> Plan:
    """dweight: the products' spectra add up over the images, and are transformed back once."""
    used = _reach(problem)
    sizes = Sizes.of(problem, used)
    f, n, groups = sizes.frequencies, problem.x.shape[0], problem.groups
    x = Planes("x", problem.x, _pair(problem.pad_begin), (1, 1), used, problem.mode)
    dy = Planes("dy", problem.y, (0, 0), _pair(problem.stride), used)
    k, c, pairs = problem.filters, problem.channels, problem.weight.shape[0] * problem.channels
    each = (x.all + dy.all) // n * sizes.plane
    images = images_at_a_time(n, each, pairs * sizes.plane, limit)
    launches: list[Launch | Transform] = []
    for first, count in chunks(n, images):
        for planes, spectra in ((x, "image_spectra"), (dy, "gradient_spectra")):
            launches += transformed(problem, sizes, planes, first, count, spectra)
        values = {
            **strides_of("a", "mk", (f, groups * c * f), c * f),
            **strides_of("b", "nk", (f, groups * k * f), k * f),
            **strides_of("c", "mn", (f, c * f), k * c * f),
            "groups": groups,
            "m": c,
            "n": k,
            "k": count,
            "accumulate": first > 0,
        }
        operands = Buffer("image_spectra"), Buffer("gradient_spectra")
        launches.append(product(problem, sizes, operands, values))
    plain = replace(problem, epilogue=Epilogue())
    launches.append(inverse(sizes, pairs))
    launches.append(crop(plain, sizes, "dweight", problem.weight, _pair(problem.dilation)))
    most = images * max(x.all, dy.all) // n
    elements = {
        "padded": most * sizes.pixels,
        "image_spectra": 2 * images * x.all // n * f,
        "gradient_spectra": 2 * images * dy.all // n * f,
        "product_spectra": 2 * pairs * f,
        "sums": pairs * sizes.pixels,
    }
    return planned(problem, "dweight", problem.weight.shape, launches, _sums(problem, elements))


def _filtered(
    problem: Problem,
    limit: int,
    image: Planes,
    result: tuple[str, View],
    step: Pair,
    rotated: bool,
) -> Plan:
    """Images by filters: every `step`-th element of the products is the result."""
    sizes = Sizes.of(problem, image.used)
    f, groups, n = sizes.frequencies, problem.groups, image.view.shape[0]
    name, view = result
    extents = _spans(problem)[0] + 1, _spans(problem)[1] + 1
    dilation = _pair(problem.dilation)
    weight = Planes("weight", problem.weight, (0, 0), dilation, extents, rotated=rotated)
    summed, kept = image.view.shape[1] // groups, view.shape[1] // groups
    each, filters = groups * (summed + kept) * sizes.plane, weight.all * sizes.plane
    images = images_at_a_time(n, each, filters, limit)
    launches = transformed(problem, sizes, weight, 0, problem.weight.shape[0], "filter_spectra")
    for first, count in chunks(n, images):
        launches += transformed(problem, sizes, image, first, count, "image_spectra")
        filter_strides = (f, kept * f) if rotated else (summed * f, f)
        values = {
            **strides_of("a", "mk", (groups * summed * f, f), summed * f),
            **strides_of("b", "nk", filter_strides, summed * kept * f),
            **strides_of("c", "mn", (groups * kept * f, f), kept * f),
            "groups": groups,
            "m": count,
            "n": kept,
            "k": summed,
            "accumulate": 0,
        }
        operands = Buffer("image_spectra"), Buffer("filter_spectra")
        launches += (
            product(problem, sizes, operands, values),
            inverse(sizes, count * groups * kept),
            crop(problem, sizes, name, view, step, first, count),
        )
    elements = {
        "padded": max(weight.all, images * groups * summed) * sizes.pixels,
        "filter_spectra": 2 * weight.all * f,
        "image_spectra": 2 * images * groups * summed * f,
        "product_spectra": 2 * images * groups * kept * f,
        "sums": images * groups * kept * sizes.pixels,
    }
    return planned(problem, name, view.shape, launches, _sums(problem, elements))


def _spans(problem: Problem) -> Pair:
    """From the first to the last tap of a filter."""
    (r, s), (d_h, d_w) = problem.weight.shape[2:], problem.dilation
    return (r - 1) * d_h, (s - 1) * d_w


def _reach(problem: Problem) -> Pair:
    """Rows and columns of padded x that the windows reach."""
    (p, q), (s_h, s_w), spans = problem.y.shape[2:], problem.stride, _spans(problem)
    return (p - 1) * s_h + spans[0] + 1, (q - 1) * s_w + spans[1] + 1


def _pair(values: tuple[int, ...]) -> Pair:
    return values[0], values[1]


def _sums(problem: Problem, elements: dict[str, int]) -> dict[str, ArraySpec]:
    """Workspace in the precision of sums."""
    return {name: problem.sums(count) for name, count in elements.items()}


FFT = Algorithm(
    "fft",
    {
        "forward": in_chunks(forward),
        "backward_input": in_chunks(backward_input),
        "backward_weight": in_chunks(backward_weight),
    },
    lambda *problem: (-20, "it pays for filters far larger than usual"),
)
