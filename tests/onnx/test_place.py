"""Convolutions that write into the result of a concatenation, and those that may not."""

import numpy as np
import pytest
from test_session import model, node

import pycnn
from pycnn.onnx import OnnxError, load

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

RNG = np.random.default_rng(8)
CONSTANTS = {
    name: RNG.standard_normal(shape, dtype=np.float32)
    for name, shape in {
        "w1": (3, 4, 1, 1), "w3": (2, 4, 3, 3), "w5": (5, 4, 5, 5), "wide": (2, 4, 3, 3), "b": (2,)
    }.items()
}  # fmt: skip
ONE, THREE = node("Conv", "x w1", "a"), node("Conv", "x w3 b", "c", pads=[1, 1, 1, 1])
FIVE = node("Conv", "x w5", "e", auto_pad="SAME_UPPER")


def session(nodes, outputs=("y",), placed=True):
    one = model(nodes, {"x": ["N", 4, 6, 7]}, dict.fromkeys(outputs), CONSTANTS)
    if placed:
        return load(one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pycnn.onnx.session.place", lambda graph: None)
        return load(one)


def kinds(session):
    return [node.what for node in session.graph.nodes]


PLACED = {
    "two": [ONE, THREE, node("Concat", "a c", "y", axis=1)],
    "in another order": [ONE, THREE, FIVE, node("Concat", "e a c", "y", axis=1)],
    "activations": [
        ONE, THREE, node("Relu", "a", "r"), node("Sigmoid", "c", "s"),
        node("Concat", "r s", "y", axis=1),
    ],
}  # fmt: skip


@pytest.mark.parametrize("nodes", PLACED.values(), ids=PLACED)
@pytest.mark.parametrize("batch", [1, 2])
def test_placed(nodes, batch):
    ours, plain = session(nodes), session(nodes, placed=False)
    assert "Concat" in kinds(plain)
    assert "Concat" not in kinds(ours)
    assert [what for what in kinds(ours) if what.endswith(" + Concat")] == kinds(ours)[-1:]
    x = RNG.standard_normal((batch, 4, 6, 7), dtype=np.float32)
    first = ours(x)
    np.testing.assert_array_equal(first, plain(x))
    ours(x + 1)
    np.testing.assert_array_equal(first, plain(x))  # another call has memory of its own


def test_by_kernels():
    if not pycnn.backends()[1].available:
        pytest.skip(f"no emulator here: {pycnn.backends()[1].detail}")
    x = RNG.standard_normal((2, 4, 6, 7), dtype=np.float32)
    ours, plain = session(PLACED["two"]), session(PLACED["two"], placed=False)
    with pycnn.use_backend("emulator", checked=True):
        for part in (x, x[:1]):
            np.testing.assert_array_equal(ours(part), plain(part))


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([ONE, THREE, node("Concat", "a c", "y", axis=1), node("Relu", "a", "z")], ("y", "z")),
        ([ONE, THREE, node("Concat", "a c", "y", axis=1)], ("y", "a")),
        ([ONE, node("Concat", "a a", "y", axis=1)], ("y",)),
        ([ONE, node("Concat", "a x", "y", axis=1)], ("y",)),
        (
            [THREE, node("Conv", "x wide", "d", pads=[1, 1, 1, 1]),
             node("Concat", "c d", "y", axis=2)],
            ("y",),
        ),
    ],
    ids=["another reader", "an output", "twice", "no convolution", "rows"],
)  # fmt: skip
def test_not_placed(nodes, outputs):
    ours, plain = session(nodes, outputs), session(nodes, outputs, placed=False)
    assert kinds(ours) == kinds(plain)
    x = RNG.standard_normal((1, 4, 6, 7), dtype=np.float32)
    for mine, want in zip(ours.run(None, {"x": x}), plain.run(None, {"x": x}), strict=True):
        np.testing.assert_array_equal(mine, want)


def test_extents_that_do_not_fit_are_an_error():
    nodes = [ONE, node("Conv", "x w3 b", "c"), node("Concat", "a c", "y", axis=1)]
    with pytest.raises(OnnxError):
        session(nodes)(np.zeros((1, 4, 6, 7), np.float32))
