"""Figures worked by hand, as docs/a-convolution-by-hand.md has them, against layers."""

import doctest
from pathlib import Path

import numpy as np
import pytest

import pycnn
from pycnn import nn
from pycnn.define.trace import tracing
from pycnn.nn.layer import Layer
from pycnn.see.costs import summary
from pycnn.see.trace import trace
from pycnn.see.weight_sharing import sharing

DOCS = Path(__file__).resolve().parents[2] / "docs"

SIGNAL = [2, 5, 9, 6, 3, 5, 7, 8, 5, 4, 5, 2, 5, 6, 3, 5, 8, 7, 1, 0, 5, 0, 10, 20, 60]
#: a - b + c of every three neighbours: 2 - 5 + 9, 5 - 9 + 6, ...
CONVOLVED = [6, 2, 6, 8, 5, 6, 4, 7, 6, 1, 8, 3, 2, 8, 6, 4, 2, 6, 6, -5, 15, 10, 50]

GRID = [[2, 7, 3], [2, 5, 4], [9, 4, 2]]
FILTER = [[-1, 1], [1, -1]]


def test_one_axis() -> None:
    x, weight = np.array([SIGNAL], float), np.array([[[1, -1, 1]]], float)
    assert pycnn.conv1d(x, weight)[0].tolist() == CONVOLVED
    # "same": a zero on either side, so -2 + 5 in front and 20 - 60 at the end
    assert pycnn.conv1d(x, weight, padding="same")[0].tolist() == [3, *CONVOLVED, -40]


def test_two_axes() -> None:
    x, weight = np.array([GRID], float), np.array([[FILTER]], float)
    # -2 + 7 + 2 - 5, -7 + 3 + 5 - 4; -2 + 5 + 9 - 4, -5 + 4 + 4 - 2
    assert pycnn.conv2d(x, weight)[0].tolist() == [[2, -3], [8, 1]]
    # "same": a zero after the last column and row: -3 + 4, -4 + 2; -9 + 4, -4 + 2, -2
    same = [[2, -3, 1], [8, 1, -2], [-5, -2, -2]]
    assert pycnn.conv2d(x, weight, padding="same")[0].tolist() == same


@pytest.mark.parametrize(
    ("n", "f", "p", "s", "expected"),
    [
        (25, 3, 0, 1, 23), (3, 2, 0, 1, 2), (7, 3, 0, 2, 3), (7, 3, 1, 2, 4), (32, 5, 2, 1, 32),
        (224, 7, 3, 2, 112), (227, 11, 0, 4, 55), (112, 3, 1, 2, 56), (8, 3, 0, 2, 3),
    ],
)  # fmt: skip
def test_output_size(n: int, f: int, p: int, s: int, expected: int) -> None:
    """floor((n + 2p - f) / s) + 1, each worked by hand."""
    assert nn.Conv2d(1, 1, f, stride=s, padding=p).output_shape((1, n, n)) == (
        1,
        expected,
        expected,
    )
    assert expected == (n + 2 * p - f) // s + 1


def test_valid_and_same_extents() -> None:
    for size in (1, 2, 3, 5):
        assert nn.Conv2d(1, 1, size, padding="valid").output_shape((1, 9, 9))[1] == 10 - size
        assert nn.Conv2d(1, 1, size, padding="same").output_shape((1, 9, 9))[1] == 9


def test_ten_filters_of_3x3x3() -> None:
    layer = nn.Conv2d(3, 10, 3)
    assert layer.parameter_count == 10 * (3 * 3 * 3 + 1) == 280
    assert summary(layer, (3, 8, 8)).parameters == 280


def test_receptive_fields_of_four_convolutions_and_a_pooling() -> None:
    layers = [nn.Conv2d(1, 1, 3) for _ in range(4)] + [nn.MaxPool2d(2, stride=1)]
    found = summary(nn.Sequential(*layers), (1, 10, 10)).layers
    assert [layer.field[0].size for layer in found] == [3, 5, 7, 9, 10]
    assert [layer.field[0].jump for layer in found] == [1] * 5
    assert [layer.output_shape[1] for layer in found] == [8, 6, 4, 2, 1]


def test_receptive_fields_with_strides() -> None:
    """Size + (f - 1) * jump, jump * s, start - p * jump, worked layer by layer."""
    layers: list[Layer] = [
        nn.Conv2d(1, 1, 7, stride=2, padding=3),  # 1 + 6*1 = 7,   jump 2,  start -3
        nn.MaxPool2d(3, stride=2, padding=1),  #    7 + 2*2 = 11,  jump 4,  start -3 - 2 = -5
        nn.Conv2d(1, 1, 3, padding=1),  #          11 + 2*4 = 19,  jump 4,  start -5 - 4 = -9
        nn.Conv2d(1, 1, 3, stride=2, padding=1),  # 19 + 2*4 = 27, jump 8,  start -9 - 4 = -13
        nn.Conv2d(1, 1, 5, padding=2),  #          27 + 4*8 = 59,  jump 8,  start -13 - 16 = -29
    ]
    steps = trace(nn.Sequential(*layers), (1, 64, 64))[:-1]
    assert [tuple(step.field[0]) for step in steps] == [
        (-3, 2, 7), (-5, 4, 11), (-9, 4, 19), (-13, 8, 27), (-29, 8, 59),
    ]  # fmt: skip


def conv(inputs: int, outputs: int, size: int) -> Layer:
    return nn.Conv2d(inputs, outputs, size, padding="same")


def naive_inception() -> nn.Concat:
    return nn.Concat(
        conv(256, 128, 1), conv(256, 192, 3), conv(256, 96, 5), nn.MaxPool2d(3, 1, padding=1)
    )


def inception() -> nn.Concat:
    return nn.Concat(
        conv(256, 128, 1),
        nn.Sequential(conv(256, 64, 1), conv(64, 192, 3)),
        nn.Sequential(conv(256, 64, 1), conv(64, 96, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, padding=1), conv(256, 64, 1)),
    )


def test_inception_without_bottlenecks() -> None:
    found = summary(naive_inception(), (256, 28, 28))
    assert found.layers[-1].output_shape == (672, 28, 28)  # 128 + 192 + 96 + 256
    # 784 places x 256 channels x (128 + 192 * 9 + 96 * 25)
    assert found.macs == 784 * 256 * 4256 == 854_196_224


def test_inception_with_bottlenecks() -> None:
    found = summary(inception(), (256, 28, 28))
    assert found.layers[-1].output_shape == (480, 28, 28)  # 128 + 192 + 96 + 64
    # 1x1 of 128; 1x1 of 64 three times; 3x3 and 5x5 on 64 channels
    ones, bottlenecks, threes, fives = 32_768, 3 * 16_384, 110_592, 153_600
    assert found.macs == 784 * (ones + bottlenecks + threes + fives) == 271_351_808
    # the 358 million often quoted count the 3x3 convolution twice
    assert found.macs + 784 * threes == 358_055_936


def test_why_weights_are_shared() -> None:
    """A million hidden units over a million pixels: 10^12 weights, 10^8, 100."""
    with tracing():
        dense = nn.Linear(10**6, 10**6, bias=False)
    assert dense.parameter_count == 10**12
    layer = nn.Conv2d(1, 1, 10, padding="same", bias=False)
    assert layer.parameter_count == 100
    assert sharing(layer, (1, 1000, 1000)) == (10**12, 10**8, 100)


def test_sharing_of_other_convolutions() -> None:
    # 3x8x8 = 192 inputs; 4x6x6 = 144 outputs; 36 places; 4 filters of 27
    assert sharing(nn.Conv2d(3, 4, 3), (3, 8, 8)) == (192 * 144, 36 * 108, 108)
    # transposed: each of 16 places of the input has filters of its own
    assert sharing(nn.ConvTranspose2d(2, 1, 2, stride=2), (2, 4, 4)) == (32 * 64, 16 * 8, 8)
    with pytest.raises(ValueError, match=r"layer=ReLU\(\): allowed is a convolution"):
        sharing(nn.ReLU(), (3, 8, 8))


def test_half_sum_of_squares() -> None:
    output, target = np.array([0.2, 0.4, 0.1, 0.3]), np.array([0.0, 0.0, 1.0, 0.0])
    # (0.04 + 0.16 + 0.81 + 0.09) / 2
    assert float(pycnn.sum_of_half_squares(output, target)) == pytest.approx(0.55, abs=1e-12)
    assert float(nn.SumOfHalfSquares().forward(output, target)) == pytest.approx(0.55, abs=1e-12)


@pytest.mark.parametrize(
    "page", ["a-convolution-by-hand", "after-a-convolution", "networks-by-hand"]
)
def test_the_pages_say_what_comes_out(page: str) -> None:
    found = doctest.testfile(str(DOCS / f"{page}.md"), module_relative=False)
    assert found.attempted > 40
    assert found.failed == 0
