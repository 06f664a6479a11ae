"""What convolutions do to extents: their arguments, checked, and in the form that plans take."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.validate import Padding, choice, integer, padding_words, paddings, per_axis
from pycnn.plan.conv_problem import MAX_EXTENT, MODES, Ints
from pycnn.shapes import conv_out, same_padding

#: Words for the extents of x and of the filters, by the number of spatial axes.
EXTENTS = {1: "W", 2: "H, W", 3: "D, H, W"}
FILTER = {1: "S", 2: "R, S", 3: "T, R, S"}

#: Members of `Problem` that say where windows lie.
Windows = dict[str, Any]


def geometry(
    x: tuple[str, Sequence[int]],
    weight: tuple[str, Sequence[int]],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: Any = "zeros",
) -> tuple[Windows, Ints]:
    """Check a convolution of shapes (N, C, ...) and (K, C/G, ...), given with their names.

    Returns
    -------
    (Windows, tuple of int)
        Where they lie, and the extents of y.
    """
    (x_name, x_shape), (w_name, w_shape) = x, weight
    extents, taps = x_shape[2:], w_shape[2:]
    axes = len(extents)
    steps = per_axis("stride", stride, 1, axes)
    spacing = per_axis("dilation", dilation, 1, axes)
    count = integer("groups", groups, 1)
    mode = choice("padding_mode", padding_mode, tuple(MODES))
    check_extents(x_name, x_shape, first=1)
    check_extents(w_name, w_shape, first=0)
    _check_groups(x_name, x_shape[1], w_name, w_shape, count)
    pads = _padding(padding, extents, steps, spacing, taps)
    if mode != "zeros":
        _check_mode(mode, x_name, extents, padding, pads)
    padded = [extent + sum(p) for extent, p in zip(extents, pads, strict=True)]
    if max(padded) > MAX_EXTENT:
        raise ValueError(f"padding={padding!r} makes x {padded}; allowed: up to {MAX_EXTENT} each")
    along = zip(extents, pads, taps, steps, spacing, strict=True)
    out = tuple([conv_out(extent, *p, t, s, d) for extent, p, t, s, d in along])
    if min(out) < 1:
        spans = [(t - 1) * d + 1 for t, d in zip(taps, spacing, strict=True)]
        raise ValueError(
            f"{w_name} has shape {tuple(w_shape)}: with dilation={spacing} a filter covers "
            f"{by(spans)}; allowed: at most the padded input, {by(padded)}"
        )
    # A step beyond the input, or between the taps of a single one, has no effect: any fits.
    steps = tuple(map(min, steps, padded))
    spacing = tuple([d if t > 1 else 1 for d, t in zip(spacing, taps, strict=True)])
    return _windows(steps, pads, spacing, count, mode), out


def transposed(
    x: tuple[str, Sequence[int]],
    weight: tuple[str, Sequence[int]],
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> tuple[Windows, Ints]:
    """Check a transposed convolution of shapes (N, C, ...) and (C, K/G, ...).

    Returns
    -------
    (Windows, tuple of int)
        Those of the convolution that it is the transpose of; and the extents of y.
    """
    (x_name, x_shape), (w_name, w_shape) = x, weight
    extents, taps = x_shape[2:], w_shape[2:]
    axes = len(extents)
    steps = per_axis("stride", stride, 1, axes)
    spacing = per_axis("dilation", dilation, 1, axes)
    more = per_axis("output_padding", output_padding, 0, axes)
    count = integer("groups", groups, 1)
    check_extents(x_name, x_shape, first=1)
    check_extents(w_name, w_shape, first=0)
    if w_shape[0] != x_shape[1]:
        raise ValueError(
            f"{w_name} has shape {tuple(w_shape)}, {w_shape[0]} channels; allowed: {x_shape[1]}, "
            f"the channels of {x_name}"
        )
    if x_shape[1] % count:
        raise ValueError(
            f"groups={count}; allowed: a divisor of the {x_shape[1]} channels of {x_name}"
        )
    for extra, step, space in zip(more, steps, spacing, strict=True):
        if extra >= max(step, space):
            raise ValueError(
                f"output_padding={output_padding!r}; allowed: less than stride={steps} or "
                f"dilation={spacing}"
            )
    if isinstance(padding, str):
        raise TypeError(f"padding={padding!r}; allowed: {padding_words(axes)}")
    pads = paddings(padding, axes)
    out = tuple(
        (extent - 1) * s - sum(p) + (t - 1) * d + 1 + extra
        for extent, s, p, t, d, extra in zip(extents, steps, pads, taps, spacing, more, strict=True)
    )
    if min(out) < 1 or max(map(_total, out, pads)) > MAX_EXTENT:
        raise ValueError(
            f"{x_name} has shape {tuple(x_shape)}: with stride={steps}, padding={padding!r} and "
            f"{w_name} {tuple(w_shape)} the result is {by(out)}; allowed: extents from 1 to "
            f"{MAX_EXTENT} with padding"
        )
    # Between the positions of one element, or the taps of a single one, any step fits.
    steps = tuple(s if extent > 1 else 1 for s, extent in zip(steps, extents, strict=True))
    spacing = tuple(d if t > 1 else 1 for d, t in zip(spacing, taps, strict=True))
    return _windows(steps, pads, spacing, count, "zeros"), out


def _windows(stride: Ints, padding: Padding, dilation: Ints, groups: int, mode: str) -> Windows:
    """Of one axis, as those of two."""
    if len(stride) == 1:
        stride, padding, dilation = (1, *stride), ((0, 0), *padding), (1, *dilation)
    before, after = zip(*padding, strict=True)
    return {
        "stride": stride,
        "pad_begin": before,
        "pad_end": after,
        "dilation": dilation,
        "groups": groups,
        "mode": mode,
    }


def shape(name: str, value: Any, ranks: Sequence[int], axes: str) -> Ints:
    """A shape given as such."""
    if hasattr(value, "shape"):
        raise ValueError(f"{name} is an array; allowed: its shape, {axes}")
    if not isinstance(value, (tuple, list)) or len(value) not in ranks:
        raise ValueError(f"{name}={value!r}; allowed: {axes}")
    return tuple(integer(name, extent, 0) for extent in value)


def by(extents: Sequence[int]) -> str:
    """Extents in words, as 3x5."""
    return "x".join(map(str, extents))


def check_extents(name: str, shape: Sequence[int], first: int) -> None:
    """Extents of at least 1 from axis `first` on, and small enough for the kernels."""
    if min(shape[first:]) < 1 or max(shape) > MAX_EXTENT:
        but = "; the batch may be 0" if first else ""
        raise ValueError(
            f"{name} has shape {tuple(shape)}; allowed: extents from 1 to {MAX_EXTENT}{but}"
        )


def _total(extent: int, pads: tuple[int, int]) -> int:
    return extent + sum(pads)


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


def _check_mode(
    mode: str, x_name: str, extents: Sequence[int], padding: Any, pads: Padding
) -> None:
    """Reflection leads back into x once, a period is used once; as in PyTorch."""
    less = {"reflect": 1, "circular": 0}.get(mode)
    if less is None:
        return
    if any(max(p) > extent - less for extent, p in zip(extents, pads, strict=True)):
        most = by([extent - less for extent in extents])
        raise ValueError(
            f"padding={padding!r} with padding_mode={mode!r}; allowed: at most {most}, for "
            f"{x_name} of {by(extents)}"
        )


def _padding(
    padding: Any, extents: Sequence[int], steps: Ints, spacing: Ints, taps: Sequence[int]
) -> Padding:
    if not isinstance(padding, str):
        return paddings(padding, len(extents))
    choice("padding", padding, ("same", "same_upper", "same_lower", "valid"))
    if padding == "valid":
        return ((0, 0),) * len(extents)
    if padding == "same" and max(steps) > 1:
        raise ValueError(
            f"stride={steps} with padding='same'; allowed: stride 1, or padding='same_upper' or "
            "'same_lower'"
        )
    return tuple(
        same_padding(extent, t, s, d, odd_before=padding == "same_lower")
        for extent, t, s, d in zip(extents, taps, steps, spacing, strict=True)
    )
