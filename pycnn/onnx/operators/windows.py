"""Windows that move over spatial axes, from ONNX's attributes: strides, dilations, padding."""

from collections.abc import Sequence
from typing import Any

Pairs = tuple[tuple[int, int], ...]


def pairs(pads: Sequence[int]) -> Pairs:
    """(before, after) of each axis; ONNX lists all befores, then all afters."""
    half = len(pads) // 2
    return tuple(zip(pads[:half], pads[half:], strict=True))


def per_axis(values: Sequence[int] | None, axes: int) -> tuple[int, ...]:
    """A value an axis, 1 by default."""
    return tuple(values) if values is not None else (1,) * axes


def padding(
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    auto_pad: str,
    pads: Sequence[int] | None,
) -> Pairs:
    """What lies around, by ``auto_pad`` or ``pads``."""
    if auto_pad == "NOTSET" and pads is not None:
        return pairs(pads)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        return ((0, 0),) * len(extents)
    sides = []
    for extent, taps, step, apart in zip(extents, kernel, strides, dilations, strict=True):
        total = max((-(-extent // step) - 1) * step + (taps - 1) * apart + 1 - extent, 0)
        sides.append(halves(total, auto_pad))
    return tuple(sides)


def halves(total: int, auto_pad: str) -> tuple[int, int]:
    """Padding on both sides; an odd one goes to the end with SAME_UPPER."""
    less, more = total // 2, total - total // 2
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


def flat(sides: Pairs) -> list[int]:
    """As `pycnn.pad` takes it: the last axis first."""
    return [n for pair in reversed(sides) for n in pair]


def of_rank(name: str, x: Any) -> Any:
    """The operation for the spatial axes of x: ``conv`` of a 4-D array is `pycnn.conv2d`."""
    import pycnn

    return getattr(pycnn, f"{name}{x.ndim - 2}d")
