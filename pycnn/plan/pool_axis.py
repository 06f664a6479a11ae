"""The windows of pooling along one axis: what covers what, forward and backward."""

from dataclasses import dataclass
from math import gcd

from pycnn.shapes import ceil_div, conv_out

Span = tuple[int, int]

#: Up to this many tiles are looked at one by one.
COUNTED_TILES = 64


@dataclass(frozen=True)
class Axis:
    """Windows along one axis, sliding or adaptive; struct PoolAxis of pool.cuh.

    Attributes
    ----------
    extent : int
        Elements of x.
    windows : int
        Elements of y.
    kernel : int
        Taps of a window; 0 for adaptive windows, which divide the extent as evenly as can be.
    stride, dilation : int
    low, high : int
        Padding.
    """

    extent: int
    windows: int
    kernel: int = 0
    stride: int = 1
    dilation: int = 1
    low: int = 0
    high: int = 0

    @classmethod
    def sliding(
        cls, extent: int, kernel: int, stride: int, padding: Span, dilation: int, ceil_mode: bool
    ) -> "Axis":
        """As many windows as fit.

        Examples
        --------
        >>> Axis.sliding(112, 3, 2, (1, 1), 1, False).windows
        56
        """
        windows = conv_out(extent, *padding, kernel, stride, dilation, ceil_mode)
        # A step beyond the input, or between the taps of a single one, has no effect: any fits.
        step, spacing = min(stride, extent + sum(padding)), dilation if kernel > 1 else 1
        return cls(extent, windows, kernel, step, spacing, *padding)

    def results(self, backward: bool) -> int:
        """Elements of what is computed."""
        return self.extent if backward else self.windows

    @property
    def span(self) -> int:
        """From the first tap of a sliding window to, and including, the last."""
        return (self.kernel - 1) * self.dilation + 1

    def step(self, backward: bool) -> int:
        """From an element under a window to the next; backward, from window to window on one.

        Examples
        --------
        >>> axis = Axis.sliding(112, 3, 4, (1, 1), 6, False)
        >>> axis.step(False), axis.step(True)
        (6, 3)
        """
        return self.dilation // gcd(self.dilation, self.stride) if backward else self.dilation

    def sources(self, first: int, last: int, backward: bool) -> Span:
        """What the results from `first` to `last`, both included, are made from.

        From the first one up to, not including, the second: what a tile brings into shared memory.

        Examples
        --------
        >>> axis = Axis.sliding(112, 3, 2, (1, 1), 1, False)
        >>> axis.sources(0, 27, False), axis.sources(28, 55, False), axis.sources(0, 1, True)
        ((0, 56), (55, 112), (0, 2))
        """
        if self.kernel == 0:
            targets, sources = (
                (self.extent, self.windows) if backward else (self.windows, self.extent)
            )
            return first * sources // targets, ceil_div((last + 1) * sources, targets)
        reach = self.span - 1
        if backward:
            begin = max(ceil_div(first + self.low - reach, self.stride), 0)
            end = min((last + self.low) // self.stride + 1, self.windows)
        else:
            begin = max(first * self.stride - self.low, 0)
            end = min(last * self.stride - self.low + reach + 1, self.extent)
        return begin, max(begin, end)

    def whole(self, tile: int, backward: bool) -> bool:
        """Whether a tile brings in all there is: then lines are neighbours in memory.

        So it does if it needs all but a little that no window covers.
        """
        results = self.results(backward)
        if tile < results:
            return False
        begin, end = self.sources(0, results - 1, backward)
        return 4 * (self.windows if backward else self.extent) <= 5 * (end - begin)

    def most_sources(self, tile: int, backward: bool) -> int:
        """Bound on the sources of `tile` neighbouring results; exact if that is all of them."""
        results = self.results(backward)
        others = self.windows if backward else self.extent
        if self.whole(tile, backward):
            return others
        if tile >= results:
            begin, end = self.sources(0, results - 1, backward)
            return end - begin
        reach = self.span - 1
        if self.kernel == 0:
            bound = ceil_div(tile * others, results) + (others % results > 0)
        elif backward:
            bound = (tile - 1 + reach) // self.stride + 1
        else:
            bound = (tile - 1) * self.stride + reach + 1
        return min(bound, others)

    def all_sources(self, tile: int, backward: bool) -> int:
        """What all tiles bring in together: what two of them share counts twice."""
        results = self.results(backward)
        tiles = ceil_div(results, tile)
        if self.whole(tile, backward) or tiles > COUNTED_TILES:
            return tiles * self.most_sources(tile, backward)
        spans = (
            self.sources(first, min(first + tile, results) - 1, backward)
            for first in range(0, results, tile)
        )
        return sum(end - begin for begin, end in spans)

    @property
    def largest(self) -> int:
        """Elements of x under a window, at most where they differ."""
        if self.kernel:
            return self.kernel
        uneven = self.extent % self.windows > 0
        return min(ceil_div(self.extent, self.windows) + uneven, self.extent)

    def even(self) -> bool:
        """Whether no window of a mean covers less than its taps, or all cover equally much."""
        if self.kernel == 0:
            return self.extent % self.windows == 0
        last = (self.windows - 1) * self.stride + self.span
        return last <= self.extent + self.low + self.high

    def inside(self) -> bool:
        """Whether no window reaches into the padding or beyond."""
        last = (self.windows - 1) * self.stride + self.span
        return self.kernel == 0 or (self.low == 0 and last <= self.extent)


#: Of an axis that the arrays do not have.
ABSENT = Axis(1, 1, 1)
