"""Models that want to do harm, or are broken: one clear error, nothing executed, no file read."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from test_session import FLOAT, model, node, relu

from pycnn.onnx import OnnxError, load

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
from onnx import TensorProto, helper  # noqa: E402


def refused(one, message):
    with pytest.raises(OnnxError, match=message):
        load(one)


@pytest.mark.parametrize("length", [1, 10, 60])
def test_truncated(length):
    refused(relu().SerializeToString()[:-length], "no ONNX model|not a valid model")


def test_not_a_model():
    refused(b"", "not a valid model")
    refused(b"GIF89a", "no ONNX model")
    with pytest.raises(TypeError, match="a model of type int"):
        load(3)


def test_cyclic():
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Neg", "b", "y")]
    refused(model(nodes, {"x": [2]}, {"y": [2]}), "not a valid model: Nodes in a graph must be")


def test_a_result_twice_and_one_of_nobody():
    twice = [node("Relu", "x", "y"), node("Neg", "x", "y")]
    refused(model(twice, {"x": [2]}, {"y": [2]}), "not a valid model")
    refused(model([node("Relu", "z", "y")], {"x": [2]}, {"y": [2]}), "not a valid model")


def test_a_function_that_calls_itself():
    again = helper.make_function("me", "F", ["a"], ["b"], [node("F", "a", "b", domain="me")],
                                 [helper.make_opsetid("me", 1)])  # fmt: skip
    one = model([node("F", "x", "y", domain="me")], {"x": [2]}, {"y": [2]},
                imports=[helper.make_opsetid("me", 1)], functions=[again])  # fmt: skip
    refused(one, "function F is defined by itself")


def test_functions_that_double():
    """2^30 nodes, in thirty lines."""
    functions = [
        helper.make_function("me", f"F{i}", ["a"], ["b"],
            [node(f"F{i + 1}", "a", "t", domain="me"), node(f"F{i + 1}", "t", "b", domain="me")]
            if i < 30 else [node("Neg", "a", "b")],
            [helper.make_opsetid("me", 1), helper.make_opsetid("", 21)])
        for i in range(31)
    ]  # fmt: skip
    one = model([node("F0", "x", "y", domain="me")], {"x": [2]}, {"y": [2]},
                imports=[helper.make_opsetid("me", 1)], functions=functions)  # fmt: skip
    refused(one, "functions of more than 100000 nodes")


@pytest.mark.parametrize("equation", ["bij,$bjk->bik", "a.b,a->b", "...a...,b->...", "a->b->c"])
def test_equations(equation):
    """Of which onnx's shape inference does not come back."""
    one = model(
        [node("Einsum", "x z", "y", equation=equation)], {"x": [2, 3], "z": [2]}, {"y": [2]}
    )
    refused(one, "equation .*; allowed: letters")


@pytest.mark.parametrize("opset", [0, -1, 999, 2**40])
def test_opsets(opset):
    refused(model([node("Relu", "x", "y")], {"x": [2]}, {"y": [2]}, opset=opset), "version|opset")


def huge(*dims):
    tensor = TensorProto(name="w", data_type=FLOAT, dims=dims)
    one = model([node("Add", "x w", "y")], {"x": [2]}, {"y": None})
    one.graph.initializer.append(tensor)
    return one


def test_huge_tensors():
    refused(huge(2**40, 2**20), "tensor 'w' of shape .* takes .* bytes; allowed")
    refused(huge(-1), "tensor 'w' of shape .*no negative extent")
    refused(huge(1000), "not a valid model|tensor 'w'")  # no data
    refused(relu(x=[2, -3]), "input 'x' of shape .*no negative extent")
    big = model([node("Relu", "x", "y")], {"x": [2**40, 2**20]}, {"y": [2**40, 2**20]})
    refused(big, "value 'y'|value 'x'")


@pytest.mark.parametrize("length", [2**62, 2**30])
def test_a_long_vector_of_extents(length):
    """Of which onnx's shape inference would make as many axes."""
    one = model([node("Reshape", "x s", "y")], {"x": [4], "s": [2]}, {"y": ["a", "b"]})
    one.graph.input[1].CopyFrom(helper.make_tensor_value_info("s", TensorProto.INT64, [length]))
    refused(one, "'s' of")


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Tile", "Range", "OneHot"])
def test_little_that_becomes_huge(kind):
    """Refused when it runs, by its shape; not computed at load."""
    extents = np.array([2**20, 2**20, 2**20], np.int64)
    nodes = {
        "ConstantOfShape": node("ConstantOfShape", "s", "y"),
        "Expand": node("Expand", "v", "y"),
        "Tile": node("Tile", "t s", "y"),
        "Range": node("Range", "zero many one", "y"),
        "OneHot": node("OneHot", "s many v", "y"),
    }
    if kind == "Expand":
        nodes[kind] = node("Expand", "v1 s", "y")
    constants = {
        "s": extents, "v": np.ones(2, np.float32), "v1": np.ones(1, np.float32),
        "t": np.ones((1, 1, 1), np.float32), "zero": np.array(0.0, np.float32),
        "many": np.array(1e18, np.float32), "one": np.array(1.0, np.float32),
    }  # fmt: skip
    one = model(
        [nodes[kind], node("Relu", "x", "z")], {"x": [1]}, {"y": None, "z": None}, constants
    )
    with pytest.raises(OnnxError, match="bytes; allowed"):
        load(one).run(None, {"x": np.ones(1, np.float32)})


def with_external(location, **settings):
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **settings}.items():
        tensor.external_data.add(key=key, value=str(value))
    one = model([node("Add", "x w", "y")], {"x": [2]}, {"y": None})
    one.graph.initializer.append(tensor)
    return one


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "model"
    (inside / "deep").mkdir(parents=True)
    data = np.array([3, 4], np.float32).tobytes()
    (inside / "w.bin").write_bytes(b"1234" + data)
    (inside / "deep" / "w.bin").write_bytes(data)
    (tmp_path / "secret.bin").write_bytes(data)
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    (inside / "within.bin").symlink_to(inside / "deep" / "w.bin")
    return inside


def from_path(folder, one):
    path = folder / "m.onnx"
    path.write_bytes(one.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("location", "settings"),
    [("w.bin", {"offset": 4}), ("w.bin", {"offset": 4, "length": 8}), ("deep/w.bin", {}),
     ("deep/../deep/w.bin", {}), ("within.bin", {})],
)  # fmt: skip
def test_external_data(folder, location, settings):
    session = load(from_path(folder, with_external(location, **settings)))
    assert (session(np.zeros(2, np.float32)) == [3, 4]).all()


@pytest.mark.parametrize(
    ("location", "settings", "message"),
    [
        ("../secret.bin", {}, "within the folder"),
        ("deep/../../secret.bin", {}, "within the folder"),
        ("link.bin", {}, "within the folder"),
        ("/etc/passwd", {}, "within the folder"),
        ("", {}, "within the folder"),
        ("nothing.bin", {}, "which is no file"),
        ("deep", {}, "which is no file"),
        ("\0", {}, "external data in"),
        ("w.bin", {"offset": 400}, "within its 12 bytes"),
        ("w.bin", {"length": 2**40}, "within its 12 bytes"),
        ("w.bin", {"offset": -1}, "allowed: a number"),
        ("w.bin", {"length": 4}, "not a valid model|tensor 'w'"),
    ],
)
def test_external_data_elsewhere(folder, location, settings, message):
    refused(from_path(folder, with_external(location, **settings)), message)


def test_external_data_of_no_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    refused(with_external("w.bin", offset=4), "loaded from a path")


def test_a_missing_file_is_no_fault_of_a_model(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.onnx")


def _fuzz(first, count):
    command = [sys.executable, "-W", "ignore", "-m", "pycnn.testing.onnx_fuzz"]
    command += ["--first", str(first), "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    last = done.stderr.splitlines()[-1:]
    assert done.returncode == 0, f"{done.stdout}; the last was {last}"
    counts = dict(re.findall(r"([a-z][a-z ]*): (\d+)", done.stdout))
    assert min(int(counts[name]) for name in ("refused", "ran", "refused running")) > 0


@pytest.mark.slow
def test_mutations():
    _fuzz(0, 500)


@pytest.mark.exhaustive
def test_many_mutations():
    _fuzz(500, 10_000)
