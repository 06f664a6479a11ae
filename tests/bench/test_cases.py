"""Shapes, FLOPs and bytes of cases, against values worked out by hand."""

import numpy as np
import pytest

from pycnn.bench.cases import ConvCase, GemmCase, MapCase, PoolCase, RowsCase
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS

CONV = parse(ConvCase, "n2c6h9w11k4r3s5p1x0x2x1u2x1g2")


def test_extents_of_a_ragged_convolution():
    # (9 + 1 + 0 - 3) // 2 + 1 = 4, and 11 + 2 + 1 - 5 + 1 = 10
    assert CONV.x_shape == (2, 6, 9, 11)
    assert CONV.w_shape == (4, 3, 3, 5)
    assert CONV.y_shape == (2, 4, 4, 10)


def test_flops_of_a_grouped_convolution():
    # 2 images x 4 filters x 40 places, each a sum over 3 channels x 15 taps
    assert CONV.macs == 2 * 4 * 40 * 45
    conv2d = OPERATIONS["conv2d"]
    assert conv2d.flops(CONV, "forward") == 28_800
    assert conv2d.flops(CONV, "backward") == 57_600


def test_compulsory_traffic_of_a_convolution():
    x, w, y = 2 * 6 * 99, 4 * 3 * 15, 2 * 4 * 40
    conv2d = OPERATIONS["conv2d"]
    assert conv2d.traffic(CONV, "forward", "float32") == 4 * (x + w + y)
    # backward reads dy, x and the weight, and writes dx and dweight
    assert conv2d.traffic(CONV, "backward", "float64") == 8 * (y + 2 * x + 2 * w)


@pytest.mark.parametrize(
    ("op", "case", "direction", "flops", "nbytes"),
    [
        ("max_pool2d", PoolCase(1, 3, 7, 9, 2, 3), "forward", 3 * 6 * 7 * 6, 4 * 3 * (63 + 42)),
        # indices are int64
        ("max_pool2d", PoolCase(1, 3, 7, 9, 2, 3), "backward", 756, 3 * (12 * 42 + 4 * 63)),
        ("avg_pool2d", PoolCase(1, 3, 7, 9, 2, 3), "backward", 756, 4 * 3 * (63 + 42)),
        ("relu", MapCase(2, 3, 5, 7), "forward", 210, 4 * 420),
        # a derivative and a product
        ("relu", MapCase(2, 3, 5, 7), "backward", 420, 4 * 630),
        ("softmax", RowsCase(3, 10), "forward", 150, 4 * 60),
        # compare, subtract, exp, add; once more for the mean of label smoothing: scale, add, add
        ("cross_entropy", RowsCase(3, 10), "forward", 210, 4 * 30 + 8 * 3 + 4),
        ("gemm", GemmCase(3, 5, 7), "forward", 210, 4 * (21 + 35 + 15)),
    ],
)
def test_flops_and_traffic_of_the_others(op, case, direction, flops, nbytes):
    operation = OPERATIONS[op]
    assert operation.flops(case, direction) == flops
    assert operation.traffic(case, direction, "float32") == nbytes


def test_inputs_have_the_shapes_and_dtypes_that_traffic_counts():
    cases = {
        "conv2d": CONV, "max_pool2d": PoolCase(2, 3, 7, 9, 2, 3, (1, 0), (2, 1)),
        "avg_pool2d": PoolCase(2, 3, 7, 9, 2, 3), "relu": MapCase(2, 3, 5, 7),
        "softmax": RowsCase(3, 10), "cross_entropy": RowsCase(3, 10), "gemm": GemmCase(3, 5, 7),
    }  # fmt: skip
    for name, case in cases.items():
        operation = OPERATIONS[name]
        for direction in operation.directions:
            specs = operation.input_specs(case, direction)
            arrays = operation.inputs(case, direction, "float64", np.random.default_rng(0))
            found = {n: (a.shape, a.dtype.name) for n, a in arrays.items()}
            wanted = {n: (shape, other or "float64") for n, (shape, other) in specs.items()}
            assert wanted.items() <= found.items()  # those of PyTorch may come on top


def test_a_ceiling_pool_counts_its_last_partial_window():
    assert parse(PoolCase, "n1c64h112w112r3s3u2e1").y_shape == (1, 64, 56, 56)
    assert parse(PoolCase, "n1c64h112w112r3s3u2").y_shape == (1, 64, 55, 55)


@pytest.mark.parametrize("case", [CONV, GemmCase(3, 5, 7), RowsCase(3, 10)])
def test_batch_is_replaced(case):
    assert case.with_batch(17).batch == 17
