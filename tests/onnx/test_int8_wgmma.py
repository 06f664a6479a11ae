"""Convolutions of integers of a model on Hopper: zero points that are known at load are none."""

import numpy as np
import pytest
from hopper import on_hopper
from op_checks import counted
from test_int8 import direct
from test_session import node

from pycnn.onnx import load

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.usefixtures(on_hopper.__name__)
X, W = (2, 16, 6, 5), (72, 16, 2, 3)


def session(type_, constants, kind, result, **attributes):
    names = {"ConvInteger": "x w xz wz", "QLinearConv": "x xs xz w ws wz ys yz b"}[type_].split()
    given = " ".join(n for n in names if n == "x" or n in constants)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node(type_, given, "y", **attributes)], "g", [value("x", TensorProto.UINT8, X)],
        [value("y", kind, result)], [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    opset = helper.make_opsetid("", 21)
    return load(helper.make_model(graph, opset_imports=[opset], ir_version=10))


def ran(backend, loaded, x):
    """The result, and the kernels of the convolution."""
    with counted(backend) as log:
        (y,) = loaded.run(None, {"x": x})
    return y, {entry for entry in log.entries if "gemm" in entry or "int8" in entry}


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@pytest.mark.parametrize("zeros", [(0, 0), (7, 0), (0, 3)])
def test_sums(backend, rng, zeros):
    x, w = rng.integers(0, 256, X, np.uint8), rng.integers(-128, 128, W, np.int8)
    constants = {"w": w, "xz": np.uint8(zeros[0]), "wz": np.full(72, zeros[1], np.int8)}
    loaded = session("ConvInteger", constants, TensorProto.INT32, (2, 72, 5, 3))
    y, kernels = ran(backend, loaded, x)
    wide = (a.astype(np.int64) - zero for a, zero in zip((x, w), zeros, strict=True))
    np.testing.assert_array_equal(y, direct(*wide, 1))
    assert kernels == ({"int8_mma_forward"} if any(zeros) else {"implicit_gemm_wgmma_int8"})


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("zeros", "pads", "by"),
    [
        ((0, 0), (1, 0, 0, 1), "implicit_gemm_wgmma_requantised"),
        ((128, 0), (0, 0, 0, 0), "implicit_gemm_wgmma_requantised"),  # goes into the bias
        ((128, 0), (1, 0, 0, 1), "int8_mma_requantised"),
        ((0, 3), (0, 0, 0, 0), "int8_mma_requantised"),
    ],
)
def test_requantised(backend, rng, zeros, pads, by, bias):
    x, w = rng.integers(0, 256, X, np.uint8), rng.integers(-128, 128, W, np.int8)
    b, scales = rng.integers(-2000, 2000, 72, np.int32), np.float32(2) ** -rng.integers(6, 9, 72)
    constants = {
        "w": w, "xs": np.float32(0.5), "xz": np.uint8(zeros[0]), "ws": scales.astype(np.float32),
        "wz": np.full(72, zeros[1], np.int8), "ys": np.float32(8), "yz": np.uint8(117),
    } | ({"b": b} if bias else {})  # fmt: skip
    top, left, below, right = pads
    result = (2, 72, 5 + top + below, 3 + left + right)
    loaded = session("QLinearConv", constants, TensorProto.UINT8, result, pads=pads)
    y, kernels = ran(backend, loaded, x)
    wide = np.pad(x.astype(np.int64) - zeros[0], ((0, 0), (0, 0), (top, below), (left, right)))
    sums = direct(wide, w.astype(np.int64) - zeros[1], 1) + bias * b.reshape(-1, 1, 1)
    exact = np.rint(sums * (0.5 * scales.astype(float) / 8).reshape(-1, 1, 1)) + 117
    np.testing.assert_array_equal(y, np.clip(exact, 0, 255))
    assert 0.2 < ((y > 0) & (y < 255)).mean() < 1
    assert kernels == {by}
