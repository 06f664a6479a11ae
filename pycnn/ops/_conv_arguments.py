"""Arguments of a convolution: checked, and in the form that plans and references take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pycnn.define.validate import Padding, Pair, choice, integer, padding_pairs, pair
from pycnn.plan.conv_problem import MAX_EXTENT
from pycnn.shapes import conv_out

X_AXES = "(N, C, H, W) or (C, H, W)"
WEIGHT_AXES = "(K, C/G, R, S)"


@dataclass(frozen=True)
class Geometry:
    """What `conv2d` does to its shapes."""

    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int
    out: Pair

    def as_arguments(self) -> tuple[Pair, Padding, Pair, int]:
        """In the order of the references."""
        return self.stride, self.padding, self.dilation, self.groups


def geometry(
    x: tuple[str, Sequence[int]],
    weight: tuple[str, Sequence[int]],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Geometry:
    """Check a convolution of shapes (N, C, H, W) and (K, C/G, R, S), given with their names."""
    (x_name, x_shape), (w_name, w_shape) = x, weight
    steps, spacing = pair("stride", stride, 1), pair("dilation", dilation, 1)
    count = integer("groups", groups, 1)
    _check_extents(x_name, x_shape, first=1)
    _check_extents(w_name, w_shape, first=0)
    _check_groups(x_name, x_shape[1], w_name, w_shape, count)
    pads = _padding(padding, steps, spacing, w_shape[2:])
    padded = [extent + sum(p) for extent, p in zip(x_shape[2:], pads, strict=True)]
    if max(padded) > MAX_EXTENT:
        raise ValueError(f"padding={padding!r} makes x {padded}; allowed: up to {MAX_EXTENT} each")
    spans = [(taps - 1) * d + 1 for taps, d in zip(w_shape[2:], spacing, strict=True)]
    if spans[0] > padded[0] or spans[1] > padded[1]:
        raise ValueError(
            f"{w_name} has shape {tuple(w_shape)}: with dilation={spacing} a filter covers "
            f"{spans[0]}x{spans[1]}; allowed: at most the padded input, {padded[0]}x{padded[1]}"
        )
    return Geometry(
        # A step beyond the input, or between the taps of a single one, has no effect: any fits.
        stride=(min(steps[0], padded[0]), min(steps[1], padded[1])),
        padding=pads,
        dilation=(spacing[0] if w_shape[2] > 1 else 1, spacing[1] if w_shape[3] > 1 else 1),
        groups=count,
        out=(
            conv_out(x_shape[2], *pads[0], w_shape[2], steps[0], spacing[0]),
            conv_out(x_shape[3], *pads[1], w_shape[3], steps[1], spacing[1]),
        ),
    )


def shape(name: str, value: Any, ranks: Sequence[int], axes: str) -> tuple[int, ...]:
    """A shape given as such."""
    if not isinstance(value, (tuple, list)) or len(value) not in ranks:
        raise ValueError(f"{name}={value!r}; allowed: {axes}")
    return tuple(integer(name, extent, 0) for extent in value)


def _check_extents(name: str, shape: Sequence[int], first: int) -> None:
    """Extents of at least 1 from axis `first` on, and small enough for the kernels."""
    if min(shape[first:]) < 1 or max(shape) > MAX_EXTENT:
        but = "; the batch may be 0" if first else ""
        raise ValueError(
            f"{name} has shape {tuple(shape)}; allowed: extents from 1 to {MAX_EXTENT}{but}"
        )


def _check_groups(
    x_name: str, channels: int, w_name: str, w_shape: Sequence[int], groups: int
) -> None:
    if channels % groups or w_shape[0] % groups:
        raise ValueError(
            f"groups={groups}; allowed: a divisor of both the {channels} channels of {x_name} and "
            f"the {w_shape[0]} filters of {w_name}"
        )
    if w_shape[1] != channels // groups:
        raise ValueError(
            f"{w_name} has shape {tuple(w_shape)}, {w_shape[1]} channels; allowed: "
            f"{channels // groups} = {channels} channels of {x_name} / groups={groups}"
        )


def _padding(padding: Any, stride: Pair, dilation: Pair, taps: Sequence[int]) -> Padding:
    if not isinstance(padding, str):
        return padding_pairs("padding", padding)
    if choice("padding", padding, ("same", "valid")) == "valid":
        return (0, 0), (0, 0)
    if stride != (1, 1):
        raise ValueError(f"stride={stride} with padding='same'; allowed: stride 1")
    vertical, horizontal = (d * (t - 1) for d, t in zip(dilation, taps, strict=True))
    # An odd number of rows or columns: one more at the end, as in PyTorch.
    return (
        (vertical // 2, vertical - vertical // 2),
        (horizontal // 2, horizontal - horizontal // 2),
    )
