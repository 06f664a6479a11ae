"""The command line keeps its word: what is ignored is refused, and before any work."""

import re
import threading
from contextvars import copy_context
from pathlib import Path

import numpy as np
import pytest

import pycnn
from pycnn import models, nn, train
from pycnn.cli import main
from pycnn.runtime import extras

TRAIN = ["train", "lenet5", "--data", "mnist5k"]


@pytest.fixture(autouse=True)
def nothing_is_done(tmp_path, monkeypatch):
    """Bad input is found before anything is read, built or computed."""
    monkeypatch.chdir(tmp_path)

    def work(*args, **kwargs):
        raise AssertionError("this is the work that must not begin")

    monkeypatch.setattr("pycnn.data.load", work)
    monkeypatch.setattr("pycnn.train.made.Trainer", work)
    monkeypatch.setattr("pycnn.see.visualisation.visualise", work)
    monkeypatch.setattr("pycnn.bench.main.run", work)
    (tmp_path / "photo.png").write_bytes(b"")
    (tmp_path / "taken").mkdir()
    (tmp_path / "folder.cu").mkdir()
    (tmp_path / "x.npy").write_bytes(b"")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([*TRAIN, "--momentum", "0.5"], "--momentum: adam has none; allowed: sgd, rmsprop"),
        ([*TRAIN, "--optimizer", "rmsprop", "--nesterov"], "--nesterov: rmsprop has none"),
        ([*TRAIN, "--warmup", "100", "--epochs", "1"], "--warmup 100: allowed are less than the 1"),
        ([*TRAIN, "--resume", "photo.png", "--lr", "0.1"], "photo.png is no checkpoint"),
        ([*TRAIN, "--size", "32,32"], "--size: mnist5k has one; allowed with a folder"),
        ([*TRAIN, "--channels", "1"], "--channels: mnist5k has one"),
        (["train", "lenet5", "--data", "taken", "--data-path", "."], "--data-path: taken is a"),
        ([*TRAIN, "--plot", "x.txt"], "--plot x.txt: allowed are the suffixes .png"),
        ([*TRAIN, "--log", "x.txt"], "--log x.txt: allowed are the suffixes .csv and .json"),
        ([*TRAIN, "-o", "taken"], "--output taken: it is a folder"),
        (["train", "lenet5", "--data", "none/here"], "--data none/here: no such folder"),
        (["train", "lenet5", "--data", "minst"], "did you mean mnist?"),
        (["summary", "nosuch.safetensors"], "error: nosuch.safetensors: no such file"),
        (["summary", "runs/lenet5"], "error: runs/lenet5: no such file"),
        (["summary", "resnet5O"], "did you mean resnet50?"),
        (["draw", "lenet5", "-o", "x.txt"], "-o x.txt: allowed are the suffixes .svg"),
        (["draw", "lenet5", "-o", "none/x.svg"], "-o none/x.svg: no folder"),
        (["predict", "m.safetensors", "photo.png"], "error: m.safetensors: no such file"),
        (["predict", "squeezenet", "none.png"], "error: none.png: no such file"),
        (["predict", "lenet5", "photo.png"], "lenet5 has no trained weights: pycnn train lenet5"),
        (["predict", "squeezenett", "photo.png"], "did you mean squeezenet?"),
        (["visualise", "lenet5", "photo.png", "--html", "taken"], "--html taken: it is a folder"),
        (["visualise", "lenet5", "photo.png", "-o", "photo.png"], "-o photo.png: it is a file"),
        (
            ["visualise", "squeezenet", "photo.png", "-o", "o", "--pretrained", "--width", "2"],
            "--width: trained weights are of one network; allowed without --pretrained",
        ),
        (["bench", "--shape", ""], "shape '': not letters that are each followed by a number"),
        (["bench", ""], "suite ''; allowed: lenet5"),
        (["bench", "resnet5O"], "did you mean resnet50?"),
        (["bench", "lenet5", "--op", "conv2dd"], "did you mean conv2d?"),
        (["bench", "lenet5", "--plot", "x.txt"], "--plot x.txt: allowed are the suffixes .png"),
        (["bench", "lenet5", "--json", "taken"], "--json taken: it is a folder"),
        (["run", "none.onnx"], "error: none.onnx: no such file"),
        (["run", "none/m.onnx"], "error: none/m.onnx: no folder none"),
        (["run", "taken"], "error: taken is a folder; needed: a file, the model"),
        (["run", "photo.png/m.onnx"], "photo.png is a file; needed: a folder"),
        (["run", "photo.png"], "error: photo.png: not a valid model"),
        (["emulate", "none.cu"], "none.cu: no such file"),
        (["emulate", "none.ptx"], "error: none.ptx: no such file"),
        (["emulate", "taken/k.cu"], "taken/k.cu: no such file"),
        (["emulate", "folder.cu"], "folder.cu: it is a folder; needed: a file"),
        (["emulate", "k.cu", "--arg", "none.npy"], "--arg none.npy: none.npy: no such file"),
        (["emulate", "k.cu", "--arg", "x.npy"], "x.npy is no array of numbers that numpy.save"),
        (["emulate", "k.cu", "--arg", "."], "--arg .: allowed: DTYPE:SHAPE"),
        (["profile", "none.cu"], "error: none.cu: no such file"),
        (["profile", "folder.cu"], "error: folder.cu: it is a folder; needed: a file"),
        (["summary", "folder.cu"], "error: folder.cu is a folder; needed: a file, the checkpoint"),
        (["predict", "folder.cu", "photo.png"], "folder.cu is a folder; needed: a file, the ch"),
        (["compare", "none.json", "none.json"], "none.json: cannot be read (No such file"),
        (["kernels", "conv/direkt.cu"], "did you mean conv/direct.cu?"),
        (["kernels", "--arch", "sm_80", "--json", "none/k.json"], "--json none/k.json: no folder"),
    ],
)  # fmt: skip
def test_what_would_be_ignored_or_fail_later_is_refused_at_once(arguments, complaint, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(["bensh", "lenet5"], "bench"), ([*TRAIN, "--optimizer", "adma"], "adam")],
)
def test_a_choice_that_is_none_has_the_nearest(arguments, near, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"did you mean {near}?" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["0", "-1", "two"])
def test_threads_are_a_whole_number(threads, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*TRAIN, "--threads", threads])
    assert "allowed is a whole number from 1 on" in capsys.readouterr().err


def test_of_a_checkpoint_another_width_is_refused(capsys, monkeypatch, tmp_path):
    model = models.create("lenet5", width=0.5)
    about = {"training": {"settings": {"batch": 16, "seed": 3, "optimizer": "SGD", "lr": 0.1}}}
    train.save("m.safetensors", model, about)
    assert main([*TRAIN, "--resume", "m.safetensors", "--width", "2"]) == 2
    assert "--width 2: the checkpoint was made with 0.5" in capsys.readouterr().err


def test_what_is_not_said_is_as_in_the_checkpoint(monkeypatch):
    from pycnn.train import commands, made

    model = models.create("lenet5", width=0.5)
    about = {"training": {"settings": {"batch": 16, "seed": 3, "optimizer": "SGD", "lr": 0.1}}}
    train.save("m.safetensors", model, about)
    seen = []

    class Enough(ValueError):
        pass

    def trainer(model, data, optimizer, schedule, batch, seed, **others):
        seen.append(
            (model.recipe["arguments"]["width"], type(optimizer), optimizer.lr, batch, seed)
        )
        raise Enough("enough")

    monkeypatch.setattr(made, "Trainer", trainer)
    monkeypatch.setattr(commands, "load_data", lambda arguments: _digits())
    assert main([*TRAIN, "--resume", "m.safetensors", "--momentum", "0.5"]) == 2
    assert seen == [(0.5, nn.SGD, 0.1, 16, 3)]


def _digits():
    from pycnn.data import DataSet

    images = np.zeros((20, 1, 28, 28), np.uint8)
    classes = tuple(map(str, range(10)))
    labels = np.arange(20) % 10
    return DataSet.of("mnist5k", images, labels, classes, np.arange(10), np.arange(10, 20))


def test_an_extra_is_installed_from_the_checkout(monkeypatch):
    root = Path(extras.__file__).parents[2]
    assert extras.install("viz", "data") == f"pip install -e '{root}[viz,data]'"
    monkeypatch.chdir(root)
    assert extras.install("viz") == "pip install -e '.[viz]'"


def test_an_extra_of_an_installed_pycnn(monkeypatch, tmp_path):
    checkout = (tmp_path, False)
    monkeypatch.setattr(extras, "_checkout", lambda: checkout)
    assert extras.install("viz") == "pip install '.[viz]'"
    monkeypatch.chdir("/")
    assert extras.install("viz") == f"pip install '{tmp_path}[viz]'"
    checkout = (None, False)
    assert extras.install("viz").startswith("pip install '.[viz]' in the checkout of pycnn, which")


def test_no_message_names_a_package_that_no_index_has():
    root = Path(pycnn.__file__).parents[1]
    pages = [*(root / "pycnn").rglob("*.py"), *(root / "examples").glob("*.py")]
    pages += [root / "README.md", *(root / "docs").glob("*.md")]
    named = [p.name for p in pages if re.search(r"pip install '?pycnn", p.read_text())]
    assert named == []


def test_the_backend_of_a_thread_is_that_of_its_context():
    """As `use_backend` says: a thread begins with the default, and takes a context that it gets."""
    seen = []

    def look():
        seen.append(pycnn.active_backend())

    with pycnn.use_backend("emulator"):
        default = threading.Thread(target=look)
        handed_on = threading.Thread(target=copy_context().run, args=(look,))
        for thread in (default, handed_on):
            thread.start()
            thread.join()
    assert seen == ["reference", "emulator"]
