"""Receptive fields: which elements of the input an element of a result can depend on.

Along one axis, element i of a result sees ``size`` elements of the input from ``start + jump * i``
on, some of them perhaps in the padding. Such maps compose, from layer to layer; the rules read
the settings that an operation's call has recorded, where "same" padding is numbers already.
Fractions come from transposed convolution and upsampling: from there on the map is the tightest one
that encloses what each element sees, of which single elements see less (`is_bound`).

Left out, as is customary, are the statistics of layer, group and instance normalisation, which
depend on every element.

References
----------
A. Araujo, W. Norris, J. Sim, "Computing receptive fields of convolutional neural networks",
Distill, 2019.
V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from pycnn.define.call import Call
from pycnn.define.trace import Traced


class Span(NamedTuple):
    """What the elements of a result see, along one axis of the input.

    Attributes
    ----------
    start : int or Fraction
        Where the window of element 0 begins: minus the padding in front.
    jump : int or Fraction
        From the window of one element to that of the next; 0 if all see the same.
    size : int or Fraction
        Length of the window.
    """

    start: Fraction | int = 0
    jump: Fraction | int = 1
    size: Fraction | int = 1

    def then(self, later: "Span") -> "Span":
        """What the results of `later` see, an operation on results that see this.

        Examples
        --------
        >>> convolution, pooling = Span(-1, 1, 3), Span(0, 2, 2)
        >>> convolution.then(pooling).then(convolution)
        Span(start=-3, jump=2, size=8)
        """
        return Span(
            self.start + self.jump * later.start,
            self.jump * later.jump,
            self.size + self.jump * (later.size - 1),
        )

    def whole(self, extent: int) -> "Span":
        """What something sees that depends on all of `extent` elements that see this."""
        return Span(self.start, 0, self.size + self.jump * (extent - 1))

    def at(self, index: int) -> tuple[int, int]:
        """First and last element of the input that element `index` sees; may lie outside.

        Examples
        --------
        >>> Span(start=-3, jump=2, size=8).at(5)
        (7, 14)
        """
        start = self.start + self.jump * index
        return math.ceil(start), math.floor(start + self.size - 1)

    def inside(self, index: int, extent: int) -> tuple[int, int]:
        """As `at`, without what lies outside an input of `extent` elements."""
        first, last = self.at(index)
        return max(first, 0), min(last, extent - 1)


#: What is seen along every spatial axis of the input.
Field = tuple[Span, ...]


def is_bound(field: Field) -> bool:
    """Whether elements see at most the field, not all of it: behind an upsampling."""
    return any(isinstance(number, Fraction) for span in field for number in span)


def union(fields: Sequence[tuple[Field, Sequence[int]]]) -> Field:
    """What something sees that depends on several results: fields, and the extents of each.

    Windows that move at different speeds have no common map: then everything is seen.

    Examples
    --------
    >>> union([((Span(0, 1, 1),), [8]), ((Span(-1, 1, 3),), [8])])
    (Span(start=-1, jump=1, size=3),)
    """
    return tuple(
        _union([(span, _extent(extents, i)) for span, extents in _column(fields, i)])
        for i in range(len(fields[0][0]))
    )


def _column(
    fields: Sequence[tuple[Field, Sequence[int]]], axis: int
) -> list[tuple[Span, Sequence[int]]]:
    return [(field[axis], extents) for field, extents in fields]


def _extent(extents: Sequence[int], axis: int) -> int:
    """A result that has lost its axes sees what a single element sees."""
    return extents[axis] if axis < len(extents) else 1


def _union(parts: list[tuple[Span, int]]) -> Span:
    spans = [span for span, _ in parts]
    if len({span.jump for span in spans}) > 1:
        spans = [span.whole(extent) for span, extent in parts]
    start = min(span.start for span in spans)
    end = max(span.start + span.size for span in spans)
    return Span(start, spans[0].jump, end - start)


def everything(field: Field, extents: Sequence[int]) -> Field:
    """What something sees that depends on every position of a result."""
    return tuple(span.whole(_extent(extents, i)) for i, span in enumerate(field))


def after(field: Field, traced: Traced, channels_last: bool) -> Field:
    """What the result of one operation sees, whose input sees `field`.

    An operation that no rule knows is taken to depend on everything.
    """
    call = traced.call
    shape = next(iter(call.views.values())).shape
    extents = shape[1:-1] if channels_last else shape[2:]
    if all(span.jump == 0 for span in field):
        return field
    rule = _RULES.get(traced.operation.name) or _BY_FAMILY.get(traced.operation.family, _all)
    windows = rule(call, channels_last)
    if windows is None or len(windows) not in (0, len(field)):
        return everything(field, extents)
    return tuple(map(Span.then, field, windows)) if windows else field


# --- rules: a span for every spatial axis, none for "each sees its own", None for "all" ---------

Windows = Sequence[Span] | None


def _each(call: Call, channels_last: bool) -> Windows:
    return ()


def _all(call: Call, channels_last: bool) -> Windows:
    return None


def _convolution(call: Call, channels_last: bool) -> Windows:
    return [
        Span(-before, step, (tap - 1) * apart + 1) for tap, step, apart, before in _filter(call)
    ]


def _transposed(call: Call, channels_last: bool) -> Windows:
    """Element i of x goes to ``i * stride - padding + tap * dilation``; here the way back."""
    spans = []
    for tap, step, apart, before in _filter(call):
        reach = (tap - 1) * apart
        spans.append(
            Span(Fraction(before - reach, step), Fraction(1, step), 1 + Fraction(reach, step))
        )
    return spans


def _filter(call: Call) -> list[tuple[int, ...]]:
    """Taps, stride, dilation and padding in front, along each axis."""
    problem, axes = call.settings.problem, call.views["weight"].rank - 2
    members = problem.weight.shape, problem.stride, problem.dilation, problem.pad_begin
    return [*zip(*(member[-axes:] for member in members), strict=True)]


def _pooling(call: Call, channels_last: bool) -> Windows:
    return [_window(axis) for axis in call.settings.pooling.axes]


def _window(axis: Any) -> Span:
    if axis.kernel:
        return Span(-axis.low, axis.stride, axis.span)
    if axis.windows == 1:
        return Span(0, 0, axis.extent)
    sources = (axis.sources(i, i, False) for i in range(axis.windows))
    windows = ((first, end - 1) for first, end in sources)
    return enclosing(windows, Fraction(axis.extent, axis.windows))


def _resize(call: Call, channels_last: bool) -> Windows:
    spans = []
    for axis in call.settings.axes:
        step = Fraction(axis.numerator) / Fraction(axis.denominator)
        lower, upper, _ = axis.taps
        spans.append(enclosing(zip(lower.tolist(), upper.tolist(), strict=True), step))
    return spans


def enclosing(windows: Iterable[tuple[int, int]], jump: Fraction) -> Span:
    """The tightest span that contains all windows (first, last).

    Examples
    --------
    >>> enclosing([(0, 0), (0, 0), (1, 1), (1, 1)], Fraction(1, 2))
    Span(start=Fraction(-1, 2), jump=Fraction(1, 2), size=Fraction(3, 2))
    """
    offsets = [(first - jump * i, last - jump * i) for i, (first, last) in enumerate(windows)]
    start = min(first for first, _ in offsets)
    return Span(start, jump, max(last for _, last in offsets) - start + 1)


def _pad(call: Call, channels_last: bool) -> Windows:
    axes = call.settings.axes
    return [Span(-axis.before) for axis in (axes[1:-1] if channels_last else axes[2:])]


def _linear(call: Call, channels_last: bool) -> Windows:
    return () if channels_last and len(call.views["x"].shape) > 2 else None


def _along_axis(call: Call, channels_last: bool) -> Windows:
    channels = len(call.views["x"].shape) - 1 if channels_last else 1
    return () if call.settings == channels else None


def _reduction(call: Call, channels_last: bool) -> Windows:
    channels = len(call.settings.shape) - 1 if channels_last else 1
    return () if set(call.settings.axes) <= {channels} else None


_RULES: dict[str, Callable[[Call, bool], Windows]] = {
    **{f"conv_transpose{n}d": _transposed for n in (1, 2, 3)},
    **{f"max_unpool{n}d": _all for n in (1, 2, 3)},
    **dict.fromkeys(("concat", "split", "channel_shuffle"), _each),
    "pad": _pad,
    "linear": _linear,
}
_BY_FAMILY: dict[str, Callable[[Call, bool], Windows]] = {
    "conv": _convolution,
    "pool": _pooling,
    "resize": _resize,
    "reduce": _reduction,
    "softmax": _along_axis,
    **dict.fromkeys(("activation", "norm", "elementwise"), _each),
}
