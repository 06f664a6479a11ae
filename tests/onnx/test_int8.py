"""Integers that stand for real numbers, on inputs that others have computed wrongly."""

import numpy as np
import pytest
from test_session import node

import pycnn
from pycnn.onnx import load

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(5)


def run(nodes, x, kind, constants, result):
    types = {np.dtype("int8"): TensorProto.INT8, np.dtype("uint8"): TensorProto.UINT8,
             np.dtype("float32"): TensorProto.FLOAT}  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", types[x.dtype], x.shape)], [value("y", kind, result)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return load(model)(x)


def direct(x, w, groups):
    """Every output by its definition, in int64."""
    n, _, h, width = x.shape
    k, each, r, s = w.shape
    y = np.zeros((n, k, h - r + 1, width - s + 1), np.int64)
    for f in range(k):
        first = f // (k // groups) * each
        for p, q in np.ndindex(y.shape[2:]):
            part = x[:, first : first + each, p : p + r, q : q + s].astype(np.int64)
            y[:, f, p, q] = (part * w[f]).sum((1, 2, 3))
    return y


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_grouped_channels_are_their_own(groups):
    """Each of them: openxla/xla 49123 is a grouped convolution that gives another channel."""
    x = RNG.integers(-128, 128, (2, 8, 6, 5), np.int8)
    w = RNG.integers(-128, 128, (8, 8 // groups, 3, 3), np.int8)
    y = run([node("ConvInteger", "x w", "y", group=groups)], x, TensorProto.INT32, {"w": w},
            (2, 8, 4, 3))  # fmt: skip
    np.testing.assert_array_equal(y, direct(x, w, groups))


@pytest.mark.parametrize("extent", [1, 3])
def test_two_groups_of_one_tap(extent):
    """Four channels in two groups under a 1x1 filter: there the last channel of 49123 is wrong."""
    x = (np.arange(4 * extent * extent).reshape(1, 4, extent, extent) % 5 - 2).astype(np.int8)
    w = (np.arange(8).reshape(4, 2, 1, 1) % 7 - 3).astype(np.int8)
    y = run([node("ConvInteger", "x w", "y", group=2)], x, TensorProto.INT32, {"w": w},
            (1, 4, extent, extent))  # fmt: skip
    np.testing.assert_array_equal(y, direct(x, w, 2))
    wide = pycnn.conv2d(x.astype(np.float32), w.astype(np.float32), groups=2)
    np.testing.assert_array_equal(y, wide)


def test_a_bias_of_integers_has_a_scale_of_its_own():
    """24711 dequantises an int32 bias beside the weight, which is not its product of scales."""
    x = RNG.standard_normal((1, 3, 5, 5), dtype=np.float32)
    w = RNG.standard_normal((4, 3, 3, 3), dtype=np.float32)
    bias = RNG.integers(-1000, 1000, 4, np.int32)
    constants = {
        "s": np.array(0.02, np.float32), "z": np.array(128, np.uint8), "w": w, "bias": bias,
        "ws": np.array(0.025, np.float32), "wz": np.array(0, np.int8),
        "bs": np.array(0.003, np.float32), "ys": np.array(0.1, np.float32),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"),
        node("QuantizeLinear", "w ws wz", "v"), node("DequantizeLinear", "v ws wz", "f"),
        node("DequantizeLinear", "bias bs", "b"), node("Conv", "d f b", "c"),
        node("QuantizeLinear", "c ys z", "r"), node("DequantizeLinear", "r ys z", "y"),
    ]  # fmt: skip
    y = run(nodes, x, TensorProto.FLOAT, constants, (1, 4, 3, 3))
    q = np.clip(np.rint(x / np.float32(0.02)), -128, 127).astype(np.int64)
    v = np.clip(np.rint(w / np.float32(0.025)), -128, 127).astype(np.int64)
    exact = direct(q, v, 1) * 0.0005 + (bias * 0.003).reshape(-1, 1, 1)
    steps = np.clip(np.rint(exact / 0.1), -128, 127)
    assert np.abs(y / 0.1 - steps).max() <= 1.001  # one step, where a value lies between two
    assert (np.abs(y / 0.1 - steps) < 0.01).mean() > 0.95


@pytest.mark.parametrize("groups", [1, 2])
def test_between_quantise_and_dequantise(groups):
    """A convolution of dequantised values: onnxruntime 24711 is one whose integers went wrong."""
    x = RNG.standard_normal((1, 4, 6, 5), dtype=np.float32)
    w = RNG.integers(-127, 128, (4, 4 // groups, 3, 3), np.int8)
    scales = (RNG.random(4) * 0.02 + 0.01).astype(np.float32)
    constants = {
        "s": np.array(0.03, np.float32), "z": np.array(117, np.uint8), "w": w, "ws": scales,
        "wz": np.zeros(4, np.int8), "ys": np.array(0.1, np.float32), "yz": np.array(128, np.uint8),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "w ws wz", "f", axis=0), node("Conv", "d f", "c", group=groups),
        node("QuantizeLinear", "c ys yz", "r"), node("DequantizeLinear", "r ys yz", "y"),
    ]  # fmt: skip
    y = run(nodes, x, TensorProto.FLOAT, constants, (1, 4, 4, 3))
    q = np.clip(np.rint(x / np.float32(0.03)) + 117, 0, 255).astype(np.int64) - 117
    exact = direct(q, w.astype(np.int64), groups) * scales.reshape(-1, 1, 1).astype(float) * 0.03
    steps = np.clip(np.rint(exact / 0.1) + 128, 0, 255) - 128
    assert np.abs(y / 0.1 - steps).max() <= 1.001  # one step, where a value lies between two
    assert (np.abs(y / 0.1 - steps) < 0.01).mean() > 0.95
