"""What is fused computes what the nodes compute one by one, and what may not be fused is not."""

import numpy as np
import pytest
from test_session import model, node

from pycnn.onnx import load

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

RNG = np.random.default_rng(7)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


CONSTANTS = {
    "w": array(4, 2, 3, 3),
    "w2": array(4, 4, 1, 1),
    "wt": array(4, 2, 3, 3),
    "b": array(4),
    "one": np.array(1.5, np.float32),
    "k": array(4, 1, 1),
    "row": array(1, 1, 1, 8),
    "low": np.array(0, np.float32),
    "six": np.array(6, np.float32),
    "seven": np.array(7, np.float32),
    "scale": array(4),
    "shift": array(4),
    "mean": array(4),
    "var": array(4) ** 2 + 0.1,
}

CONV = node("Conv", "x w b", "c", pads=[1, 1, 1, 1], group=2)
PLAIN = node("Conv", "x w", "c", pads=[1, 1, 1, 1], group=2)
NORM = "scale shift mean var"


def session(nodes, fused=True, batch=2, outputs=("y",), monkeypatch=None):
    one = model(nodes, {"x": [batch, 4, 8, 8]}, dict.fromkeys(outputs), CONSTANTS)
    if not fused:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pycnn.onnx.session.fuse", lambda graph: None)
            return load(one)
    return load(one)


@pytest.mark.parametrize(
    ("what", "nodes"),
    [
        ("Conv + Relu", [CONV, node("Relu", "c", "y")]),
        ("Conv + Sigmoid", [CONV, node("Sigmoid", "c", "y")]),
        ("Conv + LeakyRelu", [CONV, node("LeakyRelu", "c", "y", alpha=0.3)]),
        ("Conv + Clip", [CONV, node("Clip", "c low six", "y")]),
        ("Conv + Sigmoid + Mul", [CONV, node("Sigmoid", "c", "s"), node("Mul", "s c", "y")]),
        ("Conv + BatchNormalization", [PLAIN, node("BatchNormalization", f"c {NORM}", "y")]),
        (
            "Conv + BatchNormalization + Relu",
            [CONV, node("BatchNormalization", f"c {NORM}", "n", epsilon=0.1),
             node("Relu", "n", "y")],
        ),
        ("Conv + Mul + Add", [CONV, node("Mul", "c k", "m"), node("Add", "one m", "y")]),
        ("Conv + Add", [CONV, node("Add", "x c", "y")]),
        (
            "Conv + BatchNormalization + Add + Relu",
            [CONV, node("BatchNormalization", f"c {NORM}", "n"), node("Add", "n x", "a"),
             node("Relu", "a", "y")],
        ),
        (
            "Conv + Add + Relu",  # of two convolutions one takes the other
            [CONV, node("Conv", "x w2", "d"), node("Add", "c d", "a"), node("Relu", "a", "y")],
        ),
        (
            "BatchNormalization + Mul + Add",
            [node("BatchNormalization", f"x {NORM}", "n", epsilon=0.1), node("Mul", "n k", "m"),
             node("Add", "m one", "a"), node("Relu", "a", "y")],
        ),
        (
            "ConvTranspose + BatchNormalization + Relu",
            [node("ConvTranspose", "x wt b", "c", group=2, strides=[2, 2]),
             node("BatchNormalization", f"c {NORM}", "n"), node("Relu", "n", "y")],
        ),
    ],
)  # fmt: skip
def test_fused(what, nodes):
    if "ConvTranspose" in what:
        CONSTANTS["wt"] = array(4, 2, 3, 3)
    fused, apart = session(nodes), session(nodes, fused=False)
    assert what in [n.what for n in fused.graph.nodes]
    assert len(apart.graph.nodes) == len(nodes)
    x = array(2, 4, 8, 8)
    np.testing.assert_allclose(fused(x), apart(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([CONV, node("Relu", "c", "y")], ("y", "c")),  # somebody wants what is in between
        ([CONV, node("Relu", "c", "r"), node("Add", "r c", "y")], ("y",)),
        ([CONV, node("Clip", "c low seven", "y")], ("y",)),
        ([CONV, node("Clip", "c one six", "y")], ("y",)),
        ([CONV, node("Mul", "c row", "y")], ("y",)),  # along a row, not a channel
        ([CONV, node("Mul", "c c", "y")], ("y",)),
        ([CONV, node("Mul", "c x", "y")], ("y",)),
        ([CONV, node("Tanh", "c", "y")], ("y",)),
    ],
)  # fmt: skip
def test_not_fused(nodes, outputs):
    fused, apart = (session(nodes, f, outputs=outputs) for f in (True, False))
    assert not any(n.parts for n in fused.graph.nodes)
    x = array(2, 4, 8, 8)
    for a, b in zip(fused.run(None, {"x": x}), apart.run(None, {"x": x}), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_sum_that_may_broadcast_is_not_fused():
    one = model([CONV, node("Add", "c z", "y")],
                {"x": ["n", 4, 8, 8], "z": ["m", 4, 8, 8]}, {"y": None}, CONSTANTS)  # fmt: skip
    assert [n.what for n in load(one).graph.nodes] == ["Conv", "Add"]


def test_a_sum_of_any_batch_is_fused():
    nodes = [CONV, node("Add", "c x", "y")]
    fused = session(nodes, batch="n")
    assert [n.what for n in fused.graph.nodes] == ["Conv + Add"]
    x = array(3, 4, 8, 8)
    np.testing.assert_allclose(fused(x), session(nodes, False, "n")(x), rtol=1e-5, atol=1e-5)


def test_profile_and_explain():
    fused = session([CONV, node("Relu", "c", "r"), node("Neg", "r", "y"), node("Exp", "b", "gone")])
    conv, neg = fused.profile(array(2, 4, 8, 8))
    assert (conv.what, conv.by, neg.what, neg.by) == ("Conv + Relu", "reference", "Neg", "numpy")
    assert neg.nbytes == 2 * 2 * 4 * 8 * 8 * 4
    assert min(conv.seconds, neg.seconds) > 0
    assert "2x4x8x8" in str(neg)
    text = fused.explain()
    assert "2 nodes" in text
    assert "; 1 nodes were computed at load or needed by no output" in text
    assert "fused: Conv + Relu (1)" in text
    assert "by NumPy or CuPy: Neg (1)" in text
