"""Windows along one axis, sliding or adaptive, and which of them have a tap inside the input."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Tap(NamedTuple):
    """One tap along one axis: the windows that have it inside the input, and where there."""

    windows: slice
    inputs: slice


@dataclass(frozen=True)
class Sliding:
    """Windows of equal size at equal distances."""

    extent: int
    out: int
    kernel: int
    stride: int = 1
    low: int = 0
    high: int = 0
    dilation: int = 1

    def taps(self) -> Iterator[Tap]:
        """In the order of the input."""
        return (tap for _, tap in self.numbered_taps)

    @cached_property
    def numbered_taps(self) -> list[tuple[int, Tap]]:
        """Those that some window has inside the input, by their numbers in the window."""
        return list(self._numbered())

    def _numbered(self) -> Iterator[tuple[int, Tap]]:
        for number in self._inside():
            offset = number * self.dilation - self.low
            first = max(0, -(offset // self.stride))
            last = min(self.out, (self.extent - 1 - offset) // self.stride + 1)
            if first < last:
                start = first * self.stride + offset
                stop = (last - 1) * self.stride + offset + 1
                yield number, Tap(slice(first, last), slice(start, stop, self.stride))

    def _inside(self) -> Iterator[int]:
        """The numbers of these taps; a kernel may be far larger than the input."""
        # The last window has the first of them. From there on they follow each other, unless
        # windows are so far apart that input lies between none of them.
        apart = self.stride > self.extent
        begin = 0
        for window in range(self.out - 1, -1, -1) if apart else (self.out - 1,):
            low = self.low - window * self.stride
            high = (low if apart else self.low) + self.extent
            begin = max(begin, -(-low // self.dilation))
            end = min(self.kernel, (high - 1) // self.dilation + 1)
            yield from range(begin, end)
            begin = max(begin, end)

    def counts(self, include_pad: bool) -> np.ndarray:
        """Elements that a mean divides by, for every window; 1 for a window without any."""
        start = np.arange(self.out) * self.stride - self.low
        high = self.extent + (self.high if include_pad else 0)
        before = np.minimum(-(-(high - start) // self.dilation), self.kernel)  # taps before `high`
        outside = 0 if include_pad else np.maximum(-(start // self.dilation), 0)
        return np.maximum(before - outside, 1)


@dataclass(frozen=True)
class Adaptive:
    """As many windows as asked for, which divide the extent as evenly as can be."""

    extent: int
    out: int

    def spans(self) -> Iterator[slice]:
        """What every window covers."""
        for i in range(self.out):
            yield slice(i * self.extent // self.out, -(-(i + 1) * self.extent // self.out))

    def taps(self) -> Iterator[Tap]:
        """Window by window, each in the order of the input."""
        for i, span in enumerate(self.spans()):
            for at in range(span.start, span.stop):
                yield Tap(slice(i, i + 1), slice(at, at + 1))

    def counts(self, include_pad: bool) -> np.ndarray:
        """Elements that a mean divides by, for every window; there is no padding."""
        return np.array([span.stop - span.start for span in self.spans()], np.int64)


Axis = Sliding | Adaptive
