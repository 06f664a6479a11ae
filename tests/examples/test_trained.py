"""Fine-tuning and 16 bits, on a few images: they run, and judge what they found."""

import pytest

from pycnn import data
from pycnn.runtime.extras import MissingExtra


@pytest.fixture
def few(monkeypatch):
    """Data sets of a few images."""
    load = data.load

    def some(name):
        try:
            return load(name).subset("train", 60).subset("test", 40)
        except MissingExtra as missing:
            pytest.skip(str(missing))

    monkeypatch.setattr(data, "load", some)


def test_fine_tuning_in_four_ways(example, few, capsys, monkeypatch):
    tuned = example("fine_tune")
    arguments = ["--before", "1", "--epochs", "3", "--patches", "8", "--width", "0.05"]
    assert tuned.main(arguments) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("six photos: ")
    assert [line[:15].strip() for line in lines[1:]] == list(tuned.WAYS)
    reached = {"from scratch": 0.5, "head": 0.2, "head, then all": 0.4, "all": 0.9}
    monkeypatch.setattr(tuned, "learn", lambda way, *rest: (reached[way], 1.0))
    assert tuned.main(arguments) == 1  # whatever the times are


def test_a_frozen_body_stays_as_it_was(example, few):
    tuned = example("fine_tune")
    photos = tuned.patches(data.load("photo_patches"), tuned.NEW)
    assert photos.classes == tuned.NEW
    assert {*photos.labels.tolist()} == {0, 1, 2, 3}


def test_sixteen_bits_are_judged(example, few, capsys, monkeypatch):
    mixed = example("mixed_precision")
    assert mixed.main(["--seeds", "1", "--epochs", "1", "--images", "50"]) in (0, 1)
    assert capsys.readouterr().out.splitlines()[0].split() == ["seed", *mixed.PRECISIONS]
    for worst, status in ((99.5, 0), (99.4, 1)):
        reached = {"float32": 100.0, "bfloat16": worst, "float16": 100.0}
        monkeypatch.setattr(mixed, "accuracy", lambda digits, name, *rest, r=reached: r[name])
        assert mixed.main(["--seeds", "2", "--images", "50"]) == status


def test_three_networks_of_which_the_deep_plain_one_is_to_be_the_worst(
    example, few, picture, capsys, monkeypatch
):
    degradation = example("degradation")
    arguments = ["--epochs", "1", "--patches", "24", "--width", "0.1", "-o", str(picture)]
    assert degradation.main(arguments) in (0, 1)
    shown = capsys.readouterr().out
    assert [line.partition("epoch")[0].strip() for line in shown.splitlines()[:-1]] == list(
        degradation.NETWORKS.values()
    )
    monkeypatch.setattr(degradation, "draw", lambda *given: None)
    for losses, status in (([1, 2, 1], 0), ([2, 1, 1], 1), ([1, 2, 3], 1)):
        rows = {name: [Row(loss)] for name, loss in zip(degradation.NETWORKS, losses, strict=True)}
        monkeypatch.setattr(degradation, "learn", lambda name, *rest, r=rows: r[name])
        assert degradation.main(arguments) == status


class Row:
    """What an epoch says, as far as is asked."""

    def __init__(self, loss):
        self.loss = loss


def test_two_classes(example, picture, capsys):
    two = example("two_classes")
    try:
        photos = two.patches(6, seed=0)
    except MissingExtra as missing:
        pytest.skip(str(missing))
    assert photos.images.shape == (18, 1, 96, 96)
    assert (len(photos.train), len(photos.test)) == (12, 6)
    means = photos.images.mean(axis=(1, 2, 3))
    assert abs(means - 128).max() < 6  # neither is brighter
    assert photos.balance("train") == {"grass": 6, "gravel": 6}
    arguments = ["--patches", "6", "--epochs", "1", "--width", "0.05", "-o", str(picture)]
    assert two.main(arguments) in (0, 1)
    assert "ResNet-50, 1x1" in capsys.readouterr().out
