"""Checkpoints: what they hold comes back, and everything else is refused with the reason."""

import json
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

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
    model.recipe = None
    train.save(path, model)
    with pytest.raises(ValueError, match=r"does not say which model of pycnn.models it is"):
        train.load_model(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        train.load(tmp_path / "none.safetensors")


def test_an_interrupted_write_leaves_the_last_good_file(saved, monkeypatch):
    path, model = saved
    before = path.read_bytes()

    def fail(target, data):
        with target.open("wb") as file:
            file.write(data[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", fail)
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


def altered(path, change):
    """The file at `path`, with what it says about itself changed, its arrays as they are."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["about"])
    header["__metadata__"]["about"] = change(about)
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + data[8 + length :])


def with_model(**arguments):
    return lambda about: json.dumps(
        about | {"model": {"name": "lenet5", "arguments": {"width": 0.5, **arguments}}}
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 2000}, {"width": 1e300}, {"width": 10**400}, {"classes": 10**9},
        {"classes": 2**70}, {"hidden": [10**9, 10**9]}, {"hidden": "ab"}, {"hidden": [[1], 2]},
        {"input_shape": [10**6, 28, 28]}, {"input_shape": [1, 2**31, 2**31]}, {"padding": 10**9},
        {"padding": None}, {"no such": 1}, {"seed": "x"}, {"input_size": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_shapes_are_compared_before_anything_is_allocated(saved, arguments):
    path, _ = saved
    altered(path, with_model(**arguments))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"lenet.safetensors, said to be a lenet5: ") as said:
            train.load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("levels", [30, 10**9])
def test_a_model_deeper_than_its_input_is_not_built(saved, levels):
    path, _ = saved
    about = {"model": {"name": "unet", "arguments": {"levels": levels, "width": 0.01}}}
    altered(path, lambda _: json.dumps(about))
    with pytest.raises(ValueError, match="said to be a unet: "):
        train.load_model(path)


@pytest.mark.parametrize(
    "text",
    ["[]", "[1]", "null", "1", '"model"', "", "{", "[" * 100_000, '{"a":' * 100_000, "NaN"],
    ids=lambda text: text[:9],
)
def test_what_a_file_says_of_itself_may_have_any_form(saved, text):
    path, _ = saved
    altered(path, lambda about: text)
    with pytest.raises(ValueError, match=r"lenet.safetensors is damaged: what it says about"):
        train.load(path)


@pytest.mark.parametrize(
    "model",
    [[], "lenet5", {"name": ["lenet5"]}, {"name": "lenet5", "arguments": []}, {"name": None}, 7],
    ids=str,
)
def test_so_may_what_it_says_of_its_model(saved, model):
    path, _ = saved
    altered(path, lambda about: json.dumps({"model": model}))
    with pytest.raises(ValueError, match=r"lenet.safetensors (does not say which|is damaged: it)"):
        train.load_model(path)


GOOD = {"input_shape": [1, 28, 28], "mean": [0.5], "std": [0.25], "classes": list("0123456789")}


@pytest.mark.parametrize(
    "inputs",
    [
        {"input_shape": 28}, {"input_shape": []}, {"input_shape": [1, 28]},
        {"input_shape": [1, 2**20, 2**20]}, {"input_shape": [True, 28, 28]},
        {"input_shape": [1, -28, -28]}, {"input_shape": [1.0, 28.0, 28.0]},
        {"input_shape": [3, 28, 28]}, {"input_shape": [1, 32, 32]}, {"mean": 0.5}, {"mean": ["a"]},
        {"mean": [0.5, 0.5]}, {"mean": [10**400]}, {"std": [0]}, {"std": [-1.0]}, {"std": {}},
        {"classes": "0123456789"}, {"classes": list("012")}, {"classes": list(range(10))},
        {"classes": None},
    ],
    ids=str,
)  # fmt: skip
def test_so_may_what_it_says_of_its_inputs(saved, inputs):
    path, _ = saved
    altered(path, lambda about: json.dumps(about | GOOD))
    assert train.Predictor.from_checkpoint(path).classes == tuple("0123456789")
    altered(path, lambda about: json.dumps(about | inputs))
    with pytest.raises(ValueError, match=r"lenet\.safetensors "):
        train.Predictor.from_checkpoint(path)


def test_names_of_classes_are_only_shown(saved):
    path, _ = saved
    names = ["\x1b[2J", "a\nb", *"23456789"]
    altered(path, lambda about: json.dumps(about | GOOD | {"classes": names}))
    assert train.Predictor.from_checkpoint(path).classes[:2] == ("?[2J", "a?b")


def test_a_dtype_that_numpy_lacks_is_said(tmp_path):
    header = {"__metadata__": {"format": "pycnn checkpoint 1", "about": "{}"},
              "model/w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}  # fmt: skip
    packed = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + b"x")
    with pytest.raises(ValueError, match=r"m\.safetensors is no checkpoint, or was cut short or"):
        train.load(path)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_checkpoint_has_the_permissions_of_any_new_file(tmp_path, mask):
    path, before = tmp_path / "m.safetensors", os.umask(mask)
    try:
        train.save(path, nn.Linear(1, 1))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_model_of_every_dtype_comes_back(tmp_path, dtype):
    path = tmp_path / "m.safetensors"
    model = models.create("lenet5", width=0.5).to(dtype).eval()
    train.save(path, model)
    loaded, _ = train.load_model(path)
    for name, array in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == array.dtype == dtype
        assert loaded.state_dict()[name].tobytes() == array.tobytes()
