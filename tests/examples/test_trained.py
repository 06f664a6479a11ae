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
