"""Checkpoints: what they hold comes back, and everything else is refused with the reason."""

import json
import os
import pickle
import struct

import numpy as np
import pytest

from pycnn import models, nn, train


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "lenet.safetensors"
    model = models.create("lenet5", width=0.5, seed=3)
    train.save(path, model)
    return path, model


def test_a_model_comes_back(saved):
    path, model = saved
    loaded, about = train.load_model(path)
    assert about["model"]["name"] == "lenet5"
    assert not loaded.training
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    assert loaded(x).tobytes() == model.eval()(x).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_come_back(tmp_path, dtype):
    layer = nn.Linear(3, 2).to(dtype)
    train.save(tmp_path / "a.safetensors", layer)
    read = train.load(tmp_path / "a.safetensors")
    assert read.model["weight"].dtype == dtype
    assert read.model["weight"].tobytes() == layer.params["weight"].tobytes()


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_cut_short_is_refused(saved, keep):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"lenet.safetensors is no checkpoint, or was cut short"):
        train.load(path)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_is_never_opened(tmp_path):
    path, trap = tmp_path / "m.safetensors", tmp_path / "trap"
    path.write_bytes(pickle.dumps(Harmful(trap)))
    with pytest.raises(ValueError, match="is no checkpoint"):
        train.load(path)
    assert not trap.exists()


def test_another_safetensors_file_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="is no checkpoint: its format is 'pt'"):
        train.load(path)


def test_a_header_that_lies_about_its_length_is_refused(saved):
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**60) + whole[8:])
    with pytest.raises(ValueError, match="is no checkpoint, or was cut short or damaged"):
        train.load(path)


def test_the_state_of_another_model_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    model = models.create("lenet5", width=0.5)
    train.save(path, model, {"model": {"name": "lenet5", "arguments": {"width": 1.0}}})
    with pytest.raises(
        ValueError, match=r"said to be a lenet5: state\['\S+'\] is float32 of shape"
    ):
        train.load_model(path)
    train.save(path, model, {"model": {"name": "lenet99", "arguments": {}}})
    with pytest.raises(ValueError, match="name='lenet99': allowed are lenet5, "):
        train.load_model(path)
    nn.fuse(model.eval())
    train.save(path, model)
    with pytest.raises(ValueError, match=r"does not say which model of pycnn.models it is"):
        train.load_model(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        train.load(tmp_path / "none.safetensors")


def test_an_interrupted_write_leaves_the_last_good_file(saved, monkeypatch):
    import safetensors.numpy

    path, model = saved
    before = path.read_bytes()

    def fail(arrays, target, metadata):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        train.save(path, model)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_the_file_says_is_json(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ValueError, match="not JSON compliant"):
        train.save(path, nn.Linear(1, 1), {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
    train.save(path, nn.Linear(1, 1), {"note": "x"})
    assert json.loads(json.dumps(train.load(path).about)) == {"note": "x"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_model_of_every_dtype_comes_back(tmp_path, dtype):
    path = tmp_path / "m.safetensors"
    model = models.create("lenet5", width=0.5).to(dtype).eval()
    train.save(path, model)
    loaded, _ = train.load_model(path)
    for name, array in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == array.dtype == dtype
        assert loaded.state_dict()[name].tobytes() == array.tobytes()
