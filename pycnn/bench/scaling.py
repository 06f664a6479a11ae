"""Smaller layers for the emulator.

The rule: the batch is halved, down to 1; then height and width are halved (rounded up) as long as
the output keeps at least `MIN_OUTPUT` rows and columns; then the groups are halved, down to 2, and
after them the channels of a group, down to `MIN_CHANNELS`, on the input and output side alike.
Filter, stride, padding and dilation never change. It stops as soon as the layer needs no more FLOPs
than it may. A matrix product halves its three extents together.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pycnn.bench.cases import Case, ConvCase, GemmCase, MapCase, PoolCase, RowsCase
from pycnn.bench.kernelbench import Task

MIN_OUTPUT = 4
MIN_CHANNELS = 4

Step = Callable[[Any], Any | None]


def scale_down(case: Case, work: Callable[[Any], int], budget: int) -> Case:
    """The largest layer of the rule above whose `work` is at most `budget`.

    Parameters
    ----------
    case : Case
    work : callable
        FLOPs of a case.
    budget : int

    Returns
    -------
    Case
        `case` itself where it is small enough, else a smaller one; the smallest that the rule
        reaches where even that is too large.

    Examples
    --------
    >>> from pycnn.bench.grammar import parse
    >>> case = parse(ConvCase, "n8c64h56w56k64r3s3p1")
    >>> print(scale_down(case, lambda c: 2 * c.macs, 4_000_000))
    n1c64h7w7k64r3s3p1
    """
    for step in _steps(case):
        while work(case) > budget:
            smaller = step(case)
            if smaller is None:
                break
            case = smaller
    return case


def _steps(case: Case) -> Iterator[Step]:
    if isinstance(case, GemmCase):
        yield _halve("m", "n", "k", least=MIN_CHANNELS)
        return
    if isinstance(case, Task):
        yield Task.smaller
        return
    if not isinstance(case, (ConvCase, PoolCase, MapCase, RowsCase)):
        return  # a definition's own case is small as it is
    yield _halve("n", least=1)
    if isinstance(case, ConvCase):
        yield _halve_window_input
        yield _halve_groups
        yield _halve_group_channels
    elif isinstance(case, PoolCase):
        yield _halve_window_input
        yield _halve("c", least=1)
    elif isinstance(case, MapCase):
        yield _halve("h", "w", least=MIN_OUTPUT)
        yield _halve("c", least=1)
    elif isinstance(case, RowsCase):
        yield _halve("c", least=MIN_CHANNELS)


def _half(extent: int, least: int) -> int:
    return min(extent, max(-(-extent // 2), least))


def _halve(*names: str, least: int) -> Step:
    """Halve the extents `names` together, none below `least`."""

    def step(case: Any) -> Any | None:
        smaller = replace(case, **{name: _half(getattr(case, name), least) for name in names})
        return None if smaller == case else smaller

    return step


def _halve_window_input(case: ConvCase | PoolCase) -> ConvCase | PoolCase | None:
    try:
        smaller = replace(case, h=_half(case.h, 1), w=_half(case.w, 1))
    except ValueError:  # the window no longer fits
        return None
    return smaller if min(smaller.p, smaller.q) >= MIN_OUTPUT else None


def _halve_groups(case: ConvCase) -> ConvCase | None:
    if case.groups <= 2 or case.groups % 2:
        return None
    return replace(case, c=case.c // 2, k=case.k // 2, groups=case.groups // 2)


def _halve_group_channels(case: ConvCase) -> ConvCase | None:
    g = case.groups
    c, k = (_half(extent // g, MIN_CHANNELS) for extent in (case.c, case.k))
    smaller = replace(case, c=c * g, k=k * g)
    return None if smaller == case else smaller
