"""Tensor maps of a convolution's operands: windows of images, and weights, channels innermost."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pycnn.define.views import View
from pycnn.plan._wgmma import MAX_STRIDE, PIECE, copied_as, depth, step
from pycnn.plan.conv_problem import Ints, Problem, Unsupported
from pycnn.runtime.plan import Buffer, TensorMap
from pycnn.shapes import ceil_div

#: What an im2col map of two spatial axes can have: padding and what is left of x beyond the last
#: base pixel, offsets of a tap, and steps.
CORNERS, MAX_OFFSET, MAX_STEP = (-128, 127), 255, 8


def windows_map(x: View, problem: Problem, name: str, pixels: int) -> TensorMap:
    """Of so many pixels under a tap; base pixels are those in the corner of a window, as many in a
    row as y has.
    """
    lower = tuple(-pad for pad in problem.pad_begin)
    upper = tuple(
        low + (count - 1) * step + 1 - extent
        for low, count, step, extent in zip(
            lower, problem.y.shape[2:], problem.stride, x.shape[2:], strict=True
        )
    )
    least, most = CORNERS
    if min(*lower, *upper) < least or max(*lower, *upper) > most:
        raise Unsupported(
            f"windows that begin from {lower} on and end {upper} beyond the last pixel of {name}; "
            f"allowed: {least} to {most}"
        )
    if max(problem.stride) > MAX_STEP:
        raise Unsupported(f"stride {problem.stride} over {name}; allowed: up to {MAX_STEP}")
    whole = images_map(x, name, pixels)
    return replace(whole, corners=(lower, upper), steps=tuple(problem.stride))


def images_map(x: View, name: str, pixels: int) -> TensorMap:
    """Of so many pixels that follow each other, all of them, 128 bytes of channels at a time."""
    shape, strides = (tuple(v[axis] for axis in (0, 2, 3, 1)) for v in (x.shape, x.strides))
    whole = _map(Buffer(name), x.dtype, shape, strides, name)
    return replace(whole, box=(pixels, depth(x.dtype)), corners=((0, 0), (0, 0)), steps=(1, 1))


def weight_map(array: Buffer, dtype: str, shape: Ints, strides: Ints, filters: int) -> TensorMap:
    """Of so many filters at one tap, 128 bytes of channels at a time; axes (K, R, S, C)."""
    whole = _map(array, dtype, shape, strides, "the weight")
    return replace(whole, box=(filters, 1, 1, depth(dtype)))


def patches_map(x: View, name: str, box: tuple[int, int]) -> TensorMap:
    """Of boxes of so many lines and pixels, 128 bytes of channels at a time."""
    return replace(images_map(x, name, 1), box=(1, *box, depth(x.dtype)), corners=None, steps=())


def patched_result_map(array: Buffer, y: View, box: tuple[int, int]) -> TensorMap:
    """By which such boxes of y are stored."""
    shape, strides = (tuple(v[axis] for axis in (0, 2, 3, 1)) for v in (y.shape, y.strides))
    whole = _map(array, y.dtype, shape, strides, array.name)
    return replace(whole, box=(1, *box, PIECE[1]), optional=True)


def pixel_step(shape: Ints, strides: Ints) -> int | None:
    """From a pixel to the next, over all images; None where it is not always the same."""
    step, reach = 0, 1
    for axis in (3, 2, 0):
        if shape[axis] == 1:
            continue
        step = step or strides[axis]
        if strides[axis] != step * reach:
            return None
        reach *= shape[axis]
    return step


def result_map(array: Buffer, y: View, groups: int) -> TensorMap | None:
    """By which y is stored, a piece of pixels and filters at a time; axes (group, pixel, filter).

    None where its pixels are not evenly spaced, or no map has their strides.
    """
    n, k, p, q = y.shape
    filters, apart_by, even = k // groups, pixel_step(y.shape, y.strides), step(y.dtype)
    if apart_by is None or apart_by % even or not 0 <= apart_by < MAX_STRIDE:
        return None
    if groups > 1 and filters % even:
        return None
    whole = ceil_div(k, even) * even  # of what there is one the stride may be any
    apart = filters if groups > 1 else whole
    return TensorMap(
        array, y.dtype, (1, groups, n * p * q, filters), (whole, apart, apart_by or whole, 1),
        (1, 1, *PIECE), optional=True,
    )  # fmt: skip


def require_offsets(dilation: Sequence[int], sides: Iterable[int]) -> None:
    """Raise `Unsupported` unless a map reaches from the corner of a window to every tap."""
    reach = max(step * (side - 1) for step, side in zip(dilation, sides, strict=True))
    if reach > MAX_OFFSET:
        raise Unsupported(f"a window of {reach + 1} pixels; allowed: {MAX_OFFSET + 1}")


def _map(array: Buffer, dtype: str, shape: Ints, strides: Ints, name: str) -> TensorMap:
    """Of an array with channels last, whose box is still to be said."""
    steps, reach, even = [*strides[:-1], 1], 1, step(dtype)
    for axis in reversed(range(3)):
        # Where there is one index the stride is none of the array's: anything a map may have.
        reach *= shape[axis + 1]
        if shape[axis] == 1:
            steps[axis] = ceil_div(reach, even) * even
        reach = max(reach, steps[axis])
        if steps[axis] % even or not 1 <= steps[axis] < MAX_STRIDE:
            raise Unsupported(
                f"element strides {strides} of {name}; allowed: multiples of {even} from {even} to "
                f"{MAX_STRIDE - 1}, and 1 for channels"
            )
    return TensorMap(array, copied_as(dtype), tuple(shape), tuple(steps), ())
