"""Sessions: what goes in, what comes out, what is refused and what is done only once."""

import subprocess
import sys

import numpy as np
import pytest

import pycnn
from pycnn.onnx import OnnxError, load

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT = TensorProto.FLOAT


def model(nodes, inputs, outputs, constants=None, opset=21, **settings):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *settings.pop("imports", [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, **settings)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def relu(**shapes):
    return model([node("Relu", "x", "y")], {"x": shapes.get("x", [2, 3])}, {"y": None})


def test_import_takes_no_onnx():
    code = "import pycnn, pycnn.onnx, sys; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_package_the_extra_is_named(monkeypatch):
    from pycnn.onnx.package import package
    from pycnn.runtime.extras import MissingExtra

    package.cache_clear()
    monkeypatch.setitem(sys.modules, "onnx", None)
    try:
        with pytest.raises(MissingExtra, match=r"an ONNX model needs onnx.*pip install .*\[onnx\]"):
            load(b"")
    finally:
        package.cache_clear()


def test_path_bytes_and_proto(tmp_path):
    path, x = tmp_path / "relu.onnx", np.array([[-1, 2, 3], [4, -5, 6]], np.float32)
    path.write_bytes(relu().SerializeToString())
    for source in (path, str(path), path.read_bytes(), relu()):
        assert (load(source)(x) == np.maximum(x, 0)).all()


def test_any_batch():
    session = load(relu(x=["n", 3]))
    assert str(session.inputs[0]) == "x: float32 (n, 3)"
    for n in (1, 4):
        assert session(np.ones((n, 3), np.float32)).shape == (n, 3)


def test_extents_of_one_name_are_equal():
    add = model([node("Add", "a b", "y")], {"a": ["n", 2], "b": ["n", 2]}, {"y": None})
    with pytest.raises(OnnxError, match=r"'b' of shape \(1, 2\); allowed: \(n, 2\) with {'n': 3}"):
        load(add)(np.ones((3, 2), np.float32), np.ones((1, 2), np.float32))


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "no input 'x'"),
        ({"z": np.ones((2, 3), np.float32)}, "input 'z'; allowed: 'x'"),
        ({"x": np.ones((2, 3))}, "of dtype float64; allowed: float32"),
        ({"x": np.ones((3, 3), np.float32)}, r"of shape \(3, 3\); allowed: \(2, 3\)"),
        ({"x": np.ones(3, np.float32)}, r"of shape \(3,\)"),
        ({"x": [1.0]}, "of type list"),
    ],
)
def test_wrong_inputs(feeds, message):
    with pytest.raises(OnnxError, match=message):
        load(relu()).run(None, feeds)


def test_wrong_number_and_output():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(OnnxError, match="2 inputs; allowed: 1"):
        load(relu())(x, x)
    with pytest.raises(OnnxError, match="output 'z'; allowed: 'y'"):
        load(relu()).run(["z"], {"x": x})


def test_missing_operators_are_named_at_once():
    nodes = [node("Relu", "x", "a"), node("Foo", "a", "b", domain="me"),
             node("Bar", "b", "c", domain="me"), node("Foo", "c", "y", domain="me")]  # fmt: skip
    one = model(nodes, {"x": [2]}, {"y": None}, imports=[helper.make_opsetid("me", 1)])
    with pytest.raises(OnnxError, match=r"unknown operators: me.Bar \(1\), me.Foo \(2\)"):
        load(one)


def test_functions_of_the_model():
    """A function that calls another, with an attribute handed on, and a name used inside alone."""
    inner = helper.make_function("me", "Scaled", ["a"], ["b"],
        [node("Constant", "", "f"), node("Mul", "a f", "b")],
        [helper.make_opsetid("", 21)], ["factor"])  # fmt: skip
    inner.node[0].attribute.append(
        onnx.AttributeProto(name="value_float", ref_attr_name="factor", type=1)
    )
    outer = helper.make_function("me", "Twice", ["x"], ["y"],
        [node("Scaled", "x", "f", domain="me", factor=2.0), node("Add", "f f", "y")],
        [helper.make_opsetid("", 21), helper.make_opsetid("me", 1)])  # fmt: skip
    one = model([node("Twice", "x", "y", domain="me"), ], {"x": [2]}, {"y": [2]},
                imports=[helper.make_opsetid("me", 1)], functions=[inner, outer])  # fmt: skip
    assert (load(one)(np.array([1, 3], np.float32)) == [4, 12]).all()


def test_constants_are_folded_and_dead_nodes_removed():
    nodes = [
        node("Mul", "w w", "w2"),
        node("Add", "x w2", "y"),
        node("Relu", "x", "unused"),
    ]
    weight = np.array([1, 2], np.float32)
    session = load(model(nodes, {"x": [2]}, {"y": None}, {"w": weight}))
    assert [n.operator.type for n in session.graph.nodes] == ["Add"]
    assert set(session.graph.constants) == {"w2"}
    assert (session(np.zeros(2, np.float32)) == weight**2).all()


def test_what_is_freed():
    nodes = [node("Relu", "x", "a"), node("Neg", "a", "b"), node("Add", "a b", "y")]
    session = load(model(nodes, {"x": [2]}, {"y": None}))
    assert [step.freed for step in session._program.steps] == [("x",), (), ("a", "b")] or [
        set(step.freed) for step in session._program.steps
    ] == [{"x"}, set(), {"a", "b"}]


def test_results_have_memory_of_their_own():
    """Though the node gives a view: of the input, of a weight, of another result."""
    weight = np.array([1, 2], np.float32)
    nodes = [node("Identity", "x", "a"), node("Identity", "w", "b"), node("Identity", "x", "c")]
    x = np.array([3, 4], np.float32)
    session = load(model(nodes, {"x": [2]}, {"a": None, "b": None, "c": None}, {"w": weight}))
    a, b, c = session(x)
    a[...], b[...], c[...] = 0, 0, 1
    assert (x == [3, 4]).all()
    assert (session(x)[1] == weight).all()
    assert (a == 0).all()


def test_what_a_body_takes_from_outside():
    """Names of the graph around, two levels up, are kept until the loop has run."""
    value = helper.make_tensor_value_info
    branch = [
        helper.make_graph([node(kind, "carried outside", "r")], kind, [], [value("r", FLOAT, [2])])
        for kind in ("Add", "Mul")
    ]
    body = helper.make_graph(
        [
            helper.make_node("If", ["going"], ["out"], then_branch=branch[0],
                             else_branch=branch[1]),
            node("Identity", "going", "still"),
        ],
        "body",
        [value("i", TensorProto.INT64, []), value("going", TensorProto.BOOL, []),
         value("carried", FLOAT, [2])],
        [value("still", TensorProto.BOOL, []), value("out", FLOAT, [2])],
    )  # fmt: skip
    nodes = [node("Neg", "x", "outside"),
             helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)]  # fmt: skip
    one = model(nodes, {"x": [2]}, {"y": [2]}, {"trips": np.array(3)})
    assert (load(one)(np.array([1, 2], np.float32)) == [-2, -4]).all()


def test_an_endless_loop_ends(monkeypatch):
    monkeypatch.setattr("pycnn.onnx.operators.control.MOST_TRIPS", 10)
    value = helper.make_tensor_value_info
    body = helper.make_graph([node("Identity", "going", "still"), node("Neg", "a", "b")], "body",
        [value("i", TensorProto.INT64, []), value("going", TensorProto.BOOL, []),
         value("a", FLOAT, [2])],
        [value("still", TensorProto.BOOL, []), value("b", FLOAT, [2])])  # fmt: skip
    loop = helper.make_node("Loop", ["", "", "x"], ["y"], body=body)
    session = load(model([loop], {"x": [2]}, {"y": [2]}))
    with pytest.raises(OnnxError, match="Loop -> y: a loop of more than 10 rounds"):
        session(np.ones(2, np.float32))


def test_errors_name_the_node():
    one = model(
        [node("Reshape", "x s", "y", name="flat")], {"x": ["n"], "s": [2]}, {"y": ["a", "b"]}
    )
    one.graph.input[1].CopyFrom(helper.make_tensor_value_info("s", TensorProto.INT64, [2]))
    with pytest.raises(OnnxError, match="node 'flat' Reshape -> y: cannot reshape"):
        load(one)(np.ones(4, np.float32), np.array([3, 3]))


def test_kernels_run_on_the_active_backend():
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 3, 3, 3), dtype=np.float32)
    session = load(model(nodes, {"x": ["n", 3, "h", "w"]}, {"y": None}, {"w": w}))
    x = rng.standard_normal((2, 3, 8, 7), dtype=np.float32)
    expected = session(x)
    with pycnn.use_backend("emulator", checked=True), pycnn.emulator.counting() as counters:
        np.testing.assert_allclose(session(x), expected, rtol=1e-5, atol=1e-5)
    assert len(counters.launches) == 1  # the sum and its activation are one kernel


def test_backend_interface():
    from pycnn.onnx import backend

    x = np.array([[-1, 2, 3], [4, -5, 6]], np.float32)
    assert onnx.backend.base.Backend in backend.Backend.__mro__
    assert backend.supports_device("CPU")
    assert not backend.supports_device("TPU")
    assert backend.is_compatible(relu())
    prepared = backend.prepare(relu())
    for given in (x, [x], {"x": x}):
        result = prepared.run(given)
        assert (result["y"] == np.maximum(x, 0)).all()
        assert (result[0] == result.y).all()
    assert (backend.run_model(relu(), [x])[0] == np.maximum(x, 0)).all()
    softmax = node("Softmax", "x", "y", axis=0)
    (y,) = backend.run_node(softmax, [x])
    np.testing.assert_allclose(y.sum(0), 1, rtol=1e-6)
    (y,) = backend.run_node(softmax, [x], opset_version=11)  # before 13: over all axes from one on
    np.testing.assert_allclose(y.sum(), 1, rtol=1e-6)
    (y,) = backend.run_node(softmax, [x], outputs_info=[(np.dtype("float32"), (2, 3))])
    assert y.shape == (2, 3)
    with pytest.raises(OnnxError, match="device 'TPU'"):
        backend.prepare(relu(), "TPU")
    with pytest.raises(TypeError, match="unknown settings: fast"):
        backend.prepare(relu(), fast=True)


def test_another_number_of_inputs_is_refused_everywhere():
    session = load(model([node("Relu", "x", "y")], {"x": [2]}, {"y": [2]}))
    for call in (session, session.profile):
        for inputs in ((), (np.zeros(2, np.float32),) * 2):
            with pytest.raises(OnnxError, match=f"{len(inputs)} inputs; allowed: 1"):
                call(*inputs)


class TestDefaults:
    """Weights that the model lists among its inputs too."""

    def session(self):
        one = model([node("Conv", "x w", "c"), node("Relu", "c", "y")], {"x": [1, 2, 4, 4]},
                    {"y": None}, {"w": np.ones((1, 2, 1, 1), np.float32)})  # fmt: skip
        one.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [1, 2, 1, 1]))
        return load(one.SerializeToString())

    def test_are_no_inputs_but_may_be_given(self):
        session = self.session()
        x = np.ones((1, 2, 4, 4), np.float32)
        assert [value.name for value in session.inputs] == ["x"]
        assert [str(value) for value in session.defaults] == ["w: float32 (1, 2, 1, 1)"]
        assert (session(x) == 2).all()
        for factor in (3, 5):
            w = np.full((1, 2, 1, 1), factor, np.float32)
            (y,) = session.run(None, {"x": x, "w": w})
            assert (y == 2 * factor).all()
        assert (session(x) == 2).all()

    def test_of_another_shape_are_an_error(self):
        x, w = np.ones((1, 2, 4, 4), np.float32), np.ones((1, 2, 3, 3), np.float32)
        with pytest.raises(OnnxError, match="input 'w' of shape"):
            self.session().run(None, {"x": x, "w": w})


def test_a_region_is_cut_in_float32():
    """Its last row is 0.4 * 2 + 6 * (0.8 * 2 / 8): in float64 beyond the input by rounding."""
    roi = np.array([0, 0, 0.4, 0, 1, 1, 1.2, 1], np.float32)
    constants = {"roi": roi, "sizes": np.array([1, 1, 9, 2], np.int64)}
    resize = helper.make_node("Resize", ["x", "roi", "", "sizes"], ["y"], mode="nearest",
                              coordinate_transformation_mode="tf_crop_and_resize",
                              extrapolation_value=-1.0)  # fmt: skip
    session = load(model([resize], {"x": [1, 1, 3, 2]}, {"y": None}, constants))
    y = session(np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2))
    assert y[0, 0, :, 0].tolist() == [2, 2, 2, 2, 4, 4, 4, -1, -1]
