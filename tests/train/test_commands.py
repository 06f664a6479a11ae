"""``pycnn train`` and ``pycnn predict``, as they are called."""

import argparse
import csv
import json

import numpy as np
import pytest

from pycnn import data, nn
from pycnn.cli import main
from pycnn.train import commands

QUICK = ["train", "lenet5", "--data", "mnist5k", "--width", "0.5"]


@pytest.fixture(scope="module")
def enlarged(tmp_path_factory):
    """Folders of real digits, 28x28, a class each: what `pycnn train --data FOLDER` takes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("digits")
    digits = data.load("mnist5k")
    for label in (0, 1, 7):
        folder = root / str(label)
        folder.mkdir()
        for i in digits.train[digits.labels[digits.train] == label][:40]:
            Image.fromarray(digits.images[i, 0]).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(enlarged, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    arguments = ["train", "lenet5", "--data", str(enlarged), "--epochs", "4", "--batch", "16"]
    files = {"-o": "m.safetensors", "--log": "log.csv", "--plot": "curve.png"}
    for option, name in files.items():
        arguments += [option, str(out / name)]
    assert main(arguments) == 0
    return out


def test_training_writes_checkpoint_log_and_plot(trained):
    assert {p.name for p in trained.iterdir()} == {"m.safetensors", "log.csv", "curve.png"}
    with (trained / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["accuracy"]) > 0.9
    from PIL import Image

    assert Image.open(trained / "curve.png").size[0] > 500


def test_prediction_of_image_files(trained, enlarged, capsys):
    images = [str(next((enlarged / label).iterdir())) for label in ("0", "1", "7")]
    assert main(["predict", str(trained / "m.safetensors"), *images, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found[image][0][0] for image in images] == ["0", "1", "7"]
    assert sum(probability for _, probability in found[images[0]]) == pytest.approx(1, abs=1e-5)
    assert main(["predict", str(trained / "m.safetensors"), images[0], "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == images[0]
    assert len(lines) == 3
    assert lines[1].split()[1] == "0"


def test_an_inverted_image_is_read_as_its_negative(trained, enlarged, tmp_path, capsys):
    from PIL import Image

    image = next((enlarged / "7").iterdir())
    negative = tmp_path / "negative.png"
    Image.fromarray(255 - np.asarray(Image.open(image))).save(negative)
    outputs = []
    for arguments in ([str(image)], [str(negative), "--invert"]):
        assert main(["predict", str(trained / "m.safetensors"), *arguments, "--json"]) == 0
        outputs.append(next(iter(json.loads(capsys.readouterr().out).values())))
    assert outputs[0] == outputs[1]


def test_resuming(trained, enlarged, capsys):
    arguments = ["train", "lenet5", "--data", str(enlarged), "--epochs", "5", "--batch", "16"]
    assert main([*arguments, "--resume", str(trained / "m.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "epoch 5: " in out
    assert "epoch 4: " not in out
    assert main([*arguments, "--resume", str(trained / "m.safetensors"), "--seed", "1"]) == 2
    assert "seed=1: the checkpoint was made with 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "lenet6", "--data", "digits"], "name='lenet6': allowed are lenet5, "),
        (["train", "lenet5", "--data", "cifar"], "data='cifar': allowed are mnist5k, digits"),
        (["train", "vgg16", "--data", "digits"], "vgg16: input_shape=(1, 8, 8) is too small"),
        ([*QUICK, "--log", "a.txt"], "--log a.txt: allowed are the suffixes .csv and .json"),
        ([*QUICK, "-o", "nowhere/a.safetensors"], "no folder nowhere"),
        ([*QUICK, "--resume", "none.safetensors"], "no checkpoint at none.safetensors"),
        ([*QUICK, "--lr", "-1"], "lr=-1.0: allowed are positive numbers"),
        ([*QUICK, "--epochs", "0"], "epochs=0: allowed are 1 and more"),
        ([*QUICK, "--momentum", "0.5"], "--momentum: adam has none"),
        ([*QUICK, "--optimizer", "rmsprop", "--nesterov"], "--nesterov: rmsprop has none"),
        ([*QUICK, "--size", "32,32"], "--size: mnist5k has one; allowed with a folder of images"),
        (
            ["train", "lenet5", "--data", ".", "--data-path", "x"],
            "--data-path: . is a folder of images itself",
        ),
        (
            ["predict", "nothing", "x.png"],
            "model='nothing': no such checkpoint; allowed are a file",
        ),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_unreadable_images_are_named(trained, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no more")
    assert main(["predict", str(trained / "m.safetensors"), str(broken)]) == 2
    assert f"{broken} cannot be read as an image" in capsys.readouterr().err


def optimizer_of(*arguments):
    """What the command line makes of its options."""
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers())
    return commands._optimizer(parser.parse_args([*QUICK, *arguments]), nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["sgd"], {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}),
        (["sgd", "--momentum", "0", "--weight-decay", "0.1"], {"momentum": 0, "weight_decay": 0.1}),
        (["sgd", "--nesterov"], {"momentum": 0.9, "nesterov": True}),
        (["adam"], {"weight_decay": 0.0}),
        (["adamw"], {"weight_decay": 0.01}),
        (["adamw", "--weight-decay", "0"], {"weight_decay": 0.0}),
        (["rmsprop"], {"momentum": 0.0}),
        (["rmsprop", "--momentum", "0.5"], {"momentum": 0.5}),
    ],
)
def test_an_optimizer_is_made_as_it_was_asked_for(arguments, settings):
    optimizer = optimizer_of("--optimizer", *arguments)
    assert settings.items() <= optimizer.settings().items()
    assert type(optimizer).__name__.lower() == arguments[0]


def test_whatever_a_resumption_changes_is_refused(trained, enlarged, capsys):
    command = ["train", "lenet5", "--data", str(enlarged), "--epochs", "5", "--batch", "16"]
    command += ["--resume", str(trained / "m.safetensors")]
    before = (trained / "m.safetensors").read_bytes()
    for options, message in {
        "--schedule cosine": "schedule='Cosine': the checkpoint was made with 'Constant'",
        "--warmup 2": "schedule='Warmup': the checkpoint was made with 'Constant'",
        "--lr 0.1": "lr=0.1: the checkpoint was made with 0.001",
        "--crop 6": "RandomCrop(padding=6",
        "--flip": "HorizontalFlip(",
        "--clip-norm .001": "clip_norm=0.001: the checkpoint was made with None",
        "--weight-decay .5": "optimizer.weight_decay=0.5: the checkpoint was made with 0.0",
        "--optimizer sgd": "optimizer='SGD': the checkpoint was made with 'Adam'",
    }.items():
        assert main([*command, *options.split()]) == 2
        error = capsys.readouterr().err
        assert message in error.replace('"', "'")
        assert error.count("\n") == 1
    assert (trained / "m.safetensors").read_bytes() == before
