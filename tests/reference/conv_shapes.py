"""Convolutions that the tests of the CPU path share, and what a result is held to."""

from dataclasses import astuple, dataclass

import numpy as np

from pycnn.testing.tolerance import compare


@dataclass(frozen=True)
class Case:
    """x (n, c, h, w), weight (k, c/groups, r, s)."""

    x: tuple[int, int, int, int]
    filters: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __str__(self) -> str:
        return "-".join(str(v).replace(" ", "") for v in astuple(self))

    @property
    def weight(self) -> tuple[int, int, int, int]:
        k, r, s = self.filters
        return k, self.x[1] // self.groups, r, s

    @property
    def geometry(self) -> tuple:
        return self.stride, self.padding, self.dilation, self.groups

    def arrays(self, rng, dtype=np.float64):
        x, w = rng.standard_normal(self.x), rng.standard_normal(self.weight)
        b = rng.standard_normal(self.filters[0])
        return x.astype(dtype), w.astype(dtype), b.astype(dtype)


SMALL = [
    Case((2, 3, 5, 7), (4, 3, 2)),
    Case((1, 2, 6, 5), (3, 3, 3), stride=(2, 3), padding=((1, 2), (0, 3))),
    Case((2, 4, 7, 6), (6, 2, 3), padding=((0, 1), (2, 0)), dilation=(2, 1), groups=2),
    Case((1, 3, 5, 4), (3, 3, 3), padding=((1, 1), (1, 1)), groups=3),
    Case((1, 3, 5, 4), (6, 1, 3), stride=(1, 2), dilation=(1, 1), groups=3),
    Case((3, 5, 3, 7), (2, 1, 1), stride=(2, 2)),
]
LARGER = [
    Case((3, 7, 19, 23), (5, 3, 3), padding=((1, 1), (1, 1))),
    Case((2, 6, 17, 13), (9, 5, 2), stride=(3, 1), padding=((4, 0), (1, 2)), groups=3),
    Case((5, 11, 9, 10), (13, 1, 1)),
    Case((2, 3, 29, 31), (7, 7, 7), stride=(2, 2), padding=((3, 3), (3, 3))),
    Case((1, 8, 15, 21), (8, 3, 3), stride=(2, 1), padding=((2, 2), (2, 2)), dilation=(2, 2)),
    Case((2, 10, 14, 11), (10, 3, 3), padding=((1, 1), (1, 1)), groups=10),
    Case((2, 1, 7, 9), (3, 7, 9)),
    Case((1, 2, 3, 3), (3, 3, 3), padding=((5, 4), (6, 3)), stride=(4, 5)),
]
EMPTY = [Case((0, 3, 5, 7), (4, 3, 2)), Case((0, 4, 6, 6), (8, 1, 1), groups=2)]
ALL = SMALL + LARGER + EMPTY
SAME = ((1, 1), (1, 1))
#: Every method, blocks of several images and of several rows, tiles that do not fill the output.
METHODS = [
    ("gemm", Case((11, 9, 7, 5), (13, 1, 1))),
    ("gemm", Case((2, 6, 23, 31), (8, 1, 1), groups=2)),
    ("gemm", Case((5, 6, 13, 11), (4, 1, 1), stride=(2, 3), groups=2)),
    ("gemm", Case((2, 4, 39, 61), (3, 1, 1), stride=(1, 2))),
    ("im2col", Case((1, 67, 57, 71), (3, 7, 7), padding=((3, 3), (3, 3)))),
    ("im2col", Case((9, 12, 13, 6), (8, 3, 2), stride=(2, 3), padding=((0, 1), (2, 0)), groups=4)),
    ("batched", Case((13, 2, 9, 11), (3, 5, 4), padding=((2, 1), (0, 3)))),
    ("batched", Case((9, 12, 13, 6), (8, 3, 2), stride=(2, 3), padding=((0, 1), (2, 0)), groups=4)),
    ("batched", Case((31, 3, 57, 41), (5, 3, 3), stride=(1, 2), dilation=(2, 1))),
    ("winograd", Case((1, 5, 6, 9), (3, 3, 3), padding=((0, 2), (1, 0)))),
    ("winograd", Case((7, 6, 9, 6), (7, 3, 3), padding=((0, 0), (4, 3)))),
    ("winograd", Case((1, 70, 110, 131), (3, 3, 3), padding=SAME)),
    ("im2col", Case((3, 5, 9, 14), (5, 3, 2), padding=((2, 0), (1, 1)), groups=5)),
    ("im2col", Case((2, 7, 23, 19), (7, 4, 3), (3, 2), ((0, 4), (1, 3)), (2, 5), groups=7)),
    ("im2col", Case((2, 33, 57, 63), (33, 3, 3), stride=(2, 1), padding=SAME, groups=33)),
    ("taps", Case((2, 6, 5, 4), (4, 3, 2), (131, 1), ((262, 262), (3, 0)), (131, 2), groups=2)),
    ("taps", Case((1, 2, 7, 9), (3, 3, 3), (1, 30000), ((0, 0), (60000, 30000)), (2, 30000))),
]


def assert_close(actual, expected, dtype, reduction):
    assert actual.dtype == dtype
    error, allowed = compare(actual, expected, dtype, reduction)
    assert error <= allowed
