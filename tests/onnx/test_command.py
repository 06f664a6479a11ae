"""``pycnn run``."""

import numpy as np
import pytest
from test_session import model, node, relu

from pycnn.cli import main
from pycnn.onnx import command as runs

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "relu.onnx"
    file.write_bytes(relu(x=["n", 3]).SerializeToString())
    np.save(tmp_path / "x.npy", np.array([[-1, 2, 3]], np.float32))
    return file


def test_an_array(path, tmp_path, capsys):
    x, y = tmp_path / "x.npy", tmp_path / "y.npy"
    arguments = [
        "run",
        str(path),
        "--input",
        f"x={x}",
        "--output",
        str(y),
        "--profile",
        "--explain",
    ]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "y: float32 (1, 3), largest 2: 3, 1: 2, 0: 0" in said
    assert "Relu (1x3)" in said
    assert "1 nodes" in said
    assert (np.load(y) == [[0, 2, 3]]).all()


def test_against_onnxruntime(path, tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    command = ["run", str(path), "--input", str(tmp_path / "x.npy"), "--against", "onnxruntime"]
    assert main(command) == 0
    assert "y: differs by 0 of the largest value; allowed: 0.0001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ours", "right", "error"),
    [
        ([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0], 0),
        ([np.nan, 1.0], [1.0, 1.0], np.nan),
        ([1.0, 1.0], [np.nan, 1.0], np.inf),
        ([-np.inf, 1.0], [np.inf, 1.0], np.inf),
        ([2.0, 4.0], [2.0, 8.0], 0.5),
    ],
)
def test_special_values_are_compared(ours, right, error):
    np.testing.assert_equal(runs._error(np.float32(ours), np.float32(right)), error)


def test_a_sequence_is_not_compared(tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    one = model([node("SequenceConstruct", "x x", "y")], {"x": [2]}, {})
    one.graph.output.append(
        onnx.helper.make_tensor_sequence_value_info("y", onnx.TensorProto.FLOAT, [2])
    )
    (tmp_path / "s.onnx").write_bytes(one.SerializeToString())
    np.save(tmp_path / "v.npy", np.float32([1, 2]))
    command = ["run", str(tmp_path / "s.onnx"), "--input", str(tmp_path / "v.npy")]
    assert main([*command, "--against", "onnxruntime"]) == 0
    assert "y: 2 arrays; a sequence is not compared" in capsys.readouterr().out


def test_a_difference_is_status_1(path, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setattr("pycnn.onnx.operators.activation.is_float", lambda x: False)
    monkeypatch.setattr(np, "maximum", lambda a, b: a)
    command = ["run", str(path), "--input", str(tmp_path / "x.npy"), "--against", "onnxruntime"]
    assert main(command) == 1


def test_an_image(tmp_path, capsys):
    from PIL import Image

    one = model([node("Identity", "x", "y")], {"x": ["n", 3, 1, 2]}, {"y": ["n", 3, 1, 2]})
    (tmp_path / "m.onnx").write_bytes(one.SerializeToString())
    Image.new("RGB", (2, 1), (255, 0, 51)).save(tmp_path / "i.png")
    command = ["run", str(tmp_path / "m.onnx"), "--input", str(tmp_path / "i.png"),
               "--force", "--output", str(tmp_path / "y.npy")]  # fmt: skip
    assert main([*command, "--mean", "0.5,0,0", "--std", "0.5"]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy")[0, :, 0, 0], [1, 0, 0.4], atol=1e-6)
    assert main([*command, "--bgr"]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy")[0, :, 0, 0], [0.2, 0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --input for x: float32 (n, 3)"),
        (["--input", "z=X"], "allowed: once for each of x"),
        (["--input", "nothing.npy"], "nothing.npy"),
        (["--input", "X", "--input", "X"], "the model has 1 inputs"),
        (["--input", "M"], "takes no image"),
        (["--input", "X", "--mean", "1"], "--mean, --std and --bgr are for images"),
        (["--input", "X", "--bgr"], "--mean, --std and --bgr are for images"),
        (["--input", "M", "--std", "0,0,0"], "--std 0.0,0.0,0.0; allowed: no zeros"),
        (["--input", "X", "--output", "y.onnx"], "y.onnx"),
        (["--input", "X", "--output", "X"], "--force"),
    ],
)
def test_bad_input(path, tmp_path, capsys, arguments, message):
    names = {"X": str(tmp_path / "x.npy"), "M": str(path), "z=X": f"z={tmp_path / 'x.npy'}"}
    assert main(["run", str(path), *(names.get(a, a) for a in arguments)]) == 2
    assert message in capsys.readouterr().err
