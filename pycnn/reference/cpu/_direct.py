"""Convolution by compiled loops over shifted planes, without columns (`cpu/correlate.h`).

Forward is one correlation. The gradient for the input is one for every phase of the stride: dy,
padded, correlated with the taps that end in that phase. Blocks of images go to all cores.
"""

from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np

from pycnn.reference.cpu import _loops
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.cpu._threads import each, thread_count

#: Elements of one group's filters that the second-level cache holds beside the planes.
MOST_WEIGHTS = 2**18

#: Pixels that one sum of the gradient for the filters goes over, at least, and how many sums.
ENOUGH_PIXELS, MOST_SUMS = 1024, 8

#: Pixels of a band of rows, which one core computes; of few images, bands for so many cores.
BAND, LEAST_BAND, SHARED = 1024, 128, 8

#: Channels of a 1x1 convolution up to which the planes are faster than a product for every image.
FEW_CHANNELS = 8


def applies(conv: Conv) -> bool:
    """Whether the loops are there, and take it."""
    padding = (*conv.padding[0], *conv.padding[1])
    whole = min(padding) >= 0 and min(conv.x_shape + conv.y_shape) > 0
    return _loops.compiled is not None and whole and not conv.is_sparse


def pays(conv: Conv) -> bool:
    """Whether it is faster than all but Winograd's algorithm."""
    k, c, r, s = conv.weight_shape
    if not applies(conv) or not _loops.fast() or k // conv.groups * c * r * s > MOST_WEIGHTS:
        return False
    return not conv.is_pointwise or (c <= FEW_CHANNELS and conv.stride == (1, 1))


def forward(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray
) -> None:
    """Write the convolution to y, which is contiguous."""
    jobs = _jobs(conv)
    x, weight = np.ascontiguousarray(x), np.ascontiguousarray(weight)
    bias = None if bias is None else np.ascontiguousarray(bias)
    _correlate(conv, jobs.forward, x, weight, bias, y)


def input_gradient(conv: Conv, dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to x."""
    jobs = _jobs(conv)
    dy, weight = np.ascontiguousarray(dy), np.ascontiguousarray(weight)
    dx = np.empty(conv.x_shape, dy.dtype) if jobs.covers else np.zeros(conv.x_shape, dy.dtype)
    for job in jobs.backward:
        _correlate(conv, job, dy, weight, None, dx)
    return dx


def weight_gradient(conv: Conv, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient with respect to the weight."""
    x, dy, job = np.ascontiguousarray(x), np.ascontiguousarray(dy), _jobs(conv).forward
    # As many sums however many cores there are: not a bit hangs on these.
    together = -(-ENOUGH_PIXELS // (conv.out[0] * conv.out[1]))
    blocks = min(MOST_SUMS, -(-conv.x_shape[0] // together))

    def part(images: tuple[int, int]) -> np.ndarray:
        dweight = np.zeros(conv.weight_shape, x.dtype)
        _loops.compiled.weight_gradient(job, x, dy, dweight, *images)
        return dweight

    dweight, *others = each(part, _loops.shares(conv.x_shape[0], blocks))
    for other in others:
        dweight += other
    return dweight


def _correlate(conv: Conv, job: Any, *arrays: Any) -> None:
    def part(share: tuple[int, int]) -> None:
        _loops.compiled.correlate(job, *arrays, *share)

    each(part, _loops.shares(conv.x_shape[0] * job.bands, thread_count()))


class _Jobs:
    """What the loops are told of one convolution."""

    def __init__(self, conv: Conv) -> None:
        self.conv = conv
        k, c, r, s = conv.weight_shape
        self.group = conv.groups, k // conv.groups, c
        self.distances = k // conv.groups * c * r * s, c * r * s, r * s
        down, right = (
            [tap * dilation for tap in range(taps)]
            for taps, dilation in zip((r, s), conv.dilation, strict=True)
        )
        #: (row, column) of every tap in the padded image.
        self.taps = list(product(down, right))

    @cached_property
    def forward(self) -> Any:
        conv, (groups, filters, channels) = self.conv, self.group
        low = [low for low, _ in conv.padding]
        return _loops.compiled.Job(
            groups, channels, conv.x_shape[2:], conv.stride, low, [i for t in self.taps for i in t],
            filters, conv.out, conv.out, (0, 0), (1, 1), self.distances,
            list(range(len(self.taps))), self._band(conv.out),
        )  # fmt: skip

    @cached_property
    def backward(self) -> list[Any]:
        found = (self._phase(phase) for phase in product(*map(range, self.conv.stride)))
        return [job for job in found if job is not None]

    @cached_property
    def covers(self) -> bool:
        """Whether every pixel of the input is written."""
        return len(self.backward) == self.conv.stride[0] * self.conv.stride[1]

    def _band(self, out: tuple[int, ...]) -> int:
        pixels = self.conv.x_shape[0] * out[0] * out[1]
        return min(BAND, max(LEAST_BAND, pixels // SHARED))

    def _phase(self, phase: tuple[int, ...]) -> Any:
        """The pixels (u * stride + phase - low) of dx: dy at u - shift, of every tap that fits."""
        conv, (groups, filters, channels) = self.conv, self.group
        axes = range(2)
        first, out = [0, 0], [0, 0]
        start = [0, 0]  # u of the first pixel
        for i in axes:
            step, before = conv.stride[i], conv.padding[i][0]
            first[i] = (phase[i] - before) % step
            start[i] = (first[i] + before) // step
            out[i] = len(range(first[i], conv.x_shape[2 + i], step))
        fitting = [
            (number, [tap[i] // conv.stride[i] for i in axes])
            for number, tap in enumerate(self.taps)
            if all(tap[i] % conv.stride[i] == phase[i] for i in axes)
        ]
        if not fitting or min(out) == 0:
            return None
        farthest = [max(shift[i] for _, shift in fitting) for i in axes]
        low = [farthest[i] - start[i] for i in axes]  # of zeros before dy; negative: it is cut
        shifts = [farthest[i] - shift[i] for _, shift in fitting for i in axes]
        group, filter_, channel = self.distances
        return _loops.compiled.Job(
            groups, filters, conv.out, (1, 1), low, shifts, channels, out, conv.x_shape[2:],
            first, conv.stride, (group, channel, filter_), [number for number, _ in fitting],
            self._band(tuple(out)),
        )  # fmt: skip


@lru_cache(1024)
def _jobs(conv: Conv) -> _Jobs:
    return _Jobs(conv)
