"""A model on every backend: kernels, NumPy's or CuPy's functions, and what is read on the host."""

import numpy as np
import pytest
from test_session import model, node

from pycnn.onnx import load

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

RNG = np.random.default_rng(9)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def test_every_backend(backend):
    """What is computed from a shape stays on the host, and meets arrays that do not."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Gather", "p places", "g", axis=1), node("Sub", "g shift", "s"),
        node("Shape", "s", "shape"), node("Slice", "shape zero one", "batch"),
        node("Concat", "batch rest", "flat", axis=0), node("Reshape", "s flat", "f"),
        node("Gemm", "f dense bias", "l"), node("Softmax", "l", "y"),
    ]  # fmt: skip
    constants = {
        "w": array(4, 2, 3, 3), "b": array(4), "places": np.array([2, 0, 2]),
        "shift": array(3, 1, 1), "zero": np.array([0]), "one": np.array([1]),
        "rest": np.array([-1]), "dense": array(27, 5), "bias": array(5),
    }  # fmt: skip
    session = load(model(nodes, {"x": ["n", 2, 6, 6]}, {"y": ["n", 5]}, constants))
    x = array(2, 2, 6, 6)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3)
    )
    y = np.einsum("ncpqrs,kcrs->nkpq", windows, constants["w"])
    y = np.maximum(y + constants["b"].reshape(-1, 1, 1), 0)
    y = y.reshape(2, 4, 3, 2, 3, 2).max((3, 5))[:, [2, 0, 2]] - constants["shift"]
    logits = y.reshape(2, -1) @ constants["dense"] + constants["bias"]
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    for _ in range(2):
        found = backend.numpy(session(backend.array(x)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
