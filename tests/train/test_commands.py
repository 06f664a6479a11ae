"""``pycnn train`` and ``pycnn predict``, as they are called."""

import argparse
import csv
import errno
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from pycnn import data, nn, train
from pycnn.cli import main
from pycnn.train import Trainer, commands, made, options as options_of

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


def test_the_class_of_a_link_is_the_folder_that_it_lies_in(trained, enlarged, tmp_path, capsys):
    kept = tmp_path / "1" / "kept.png"  # as if it were of another class
    kept.parent.mkdir()
    shutil.copy(next((enlarged / "7").iterdir()), kept)
    link = tmp_path / "7" / "link.png"
    link.parent.mkdir()
    link.symlink_to(kept)
    words = ["predict", str(trained / "m.safetensors"), str(link), "--accuracy", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1


def test_all_folders_that_are_no_class_are_named(trained, enlarged, tmp_path, capsys):
    image = next((enlarged / "7").iterdir())
    for name in ("7", "cat", "dog"):
        (tmp_path / name).mkdir()
        shutil.copy(image, tmp_path / name / "a.png")
    words = ["predict", str(trained / "m.safetensors"), str(tmp_path), "--accuracy"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "folder 'cat', which is no class of the model, nor is 'dog'; allowed: 0, 1" in said


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


def test_an_image_that_cannot_be_read_ends_no_folder(trained, enlarged, tmp_path, capsys):
    folder = tmp_path / "7"
    folder.mkdir()
    good, bad = folder / "b.png", folder / "a.png"
    shutil.copy(next((enlarged / "7").iterdir()), good)
    bad.write_text("no image")
    words = ["predict", str(trained / "m.safetensors"), str(folder), "--json"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert [*json.loads(shown.out)] == [str(good)]
    assert shown.err.startswith("pycnn: ")
    assert str(bad) in shown.err
    assert main([*words, "--accuracy"]) == 1
    assert json.loads(capsys.readouterr().out)["images"] == 1
    good.rename(folder / "b\x1b[31m.png")  # which a terminal would obey
    bad.rename(folder / "a\x1b[31m.png")
    assert main(words[:-1]) == 1
    shown = capsys.readouterr()
    assert "b?[31m.png" in shown.out
    assert "a?[31m.png" in shown.err
    (folder / "b\x1b[31m.png").unlink()
    assert main(words) == 2
    assert "a?[31m.png" in capsys.readouterr().err


def test_resuming(trained, enlarged, capsys):
    arguments = ["train", "lenet5", "--data", str(enlarged), "--epochs", "5", "--batch", "16"]
    assert main([*arguments, "--resume", str(trained / "m.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "epoch 5: " in out
    assert "epoch 4: " not in out
    assert main([*arguments, "--resume", str(trained / "m.safetensors"), "--seed", "1"]) == 2
    assert "seed=1: the checkpoint was made with 0" in capsys.readouterr().err


def test_a_folder_of_grey_and_rgb_images(tmp_path, capsys):
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "mixed" / label).mkdir(parents=True)
        for i in range(10):
            mode = "RGB" if i % 2 else "L"
            Image.new(mode, (28, 28), 10 * i).save(tmp_path / "mixed" / label / f"{i}.png")
    command = ["train", "lenet5", "--data", str(tmp_path / "mixed"), "--epochs", "1",
               "-o", str(tmp_path / "m.safetensors")]  # fmt: skip
    assert main(command) == 2
    assert "; here: --size HEIGHT,WIDTH, --channels 1 or 3" in capsys.readouterr().err
    assert main([*command, "--channels", "1", "--threads", "1"]) == 0


def test_a_folder_of_images_of_several_extents(tmp_path):
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "uneven" / label).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (20 + i, 40 - i), 10 * i).save(tmp_path / "uneven" / label / f"{i}.png")
    model = tmp_path / "m.safetensors"
    command = ["train", "lenet5", "--data", str(tmp_path / "uneven"), "--epochs", "1"]
    assert main([*command, "-o", str(model)]) == 2
    assert main([*command, "-o", str(model), "--size", "30,34", "--threads", "1"]) == 0
    # The first dense layer sees 16 maps of 5x6: (30 / 2 - 4) / 2, and (34 / 2 - 4) / 2 in whole.
    network, _ = train.load_model(model)
    assert network.at("f5").params["weight"].shape == (120, 16 * 5 * 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "lenet6", "--data", "digits"], "name='lenet6': allowed are lenet5, "),
        (["train", "lenet5", "--data", "cifar"], "data='cifar': allowed are mnist5k, digits"),
        (["train", "vgg16", "--data", "digits"], "vgg16: input_shape=(1, 8, 8) is too small"),
        ([*QUICK, "--log", "a.txt"], "--log a.txt: allowed are the suffixes .csv and .json"),
        ([*QUICK, "-o", "nowhere/a.safetensors"], "--output nowhere/a.safetensors: no folder"),
        ([*QUICK, "--resume", "none.safetensors"], "no checkpoint at none.safetensors"),
        ([*QUICK, "--lr", "-1"], "lr=-1.0: allowed are positive numbers"),
        ([*QUICK, "--epochs", "0"], "epochs=0; allowed: int >= 1"),
        ([*QUICK, "--momentum", "0.5"], "--momentum: adam has none"),
        ([*QUICK, "--optimizer", "rmsprop", "--nesterov"], "--nesterov: rmsprop has none"),
        ([*QUICK, "--size", "32,32"], "--size: mnist5k has one; allowed with a folder of images"),
        (
            ["train", "lenet5", "--data", ".", "--data-path", "x"],
            "--data-path: . is a folder of images itself",
        ),
        (
            ["predict", "nothing", __file__],
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


SHORT = ("--epochs", "1", "--batch", "32", "--width", "0.5")


def test_a_checkpoint_that_is_there_is_kept_without_force(enlarged, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    default = tmp_path / f"lenet5-{enlarged.name}.safetensors"
    named, log = tmp_path / "keep.safetensors", tmp_path / "log.json"
    for path in (default, named, log):
        path.write_text("weeks of work")
    command = ["train", "lenet5", "--data", str(enlarged), *SHORT]
    for options in ([], ["-o", str(named)], ["-o", "new.safetensors", "--log", str(log)]):
        assert main([*command, *options]) == 2
        error = capsys.readouterr().err
        assert "it is there; give another name, or --force to replace it" in error
        assert error.count("\n") == 1
    assert {p.read_text() for p in tmp_path.iterdir()} == {"weeks of work"}


def test_what_is_replaced_stays_until_the_training_is_complete(enlarged, tmp_path, capsys):
    """Interrupted, both are kept; and the new one can be gone on with."""
    path, log = tmp_path / "keep.safetensors", tmp_path / "log.json"
    for old in (path, log):
        old.write_text("weeks of work")
        old.chmod(0o640)
    command = ["train", "lenet5", "--data", str(enlarged), *SHORT, "--epochs", "2"]
    command += ["-o", str(path), "--log", str(log), "--force"]

    def interrupt(self):
        os.kill(os.getpid(), signal.SIGINT)
        return {"loss": 0.0, "accuracy": 0.0}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "evaluate", interrupt)
        assert main(command) == 130
    beside = tmp_path / "keep.unfinished.safetensors"
    assert f"--resume {beside}; {path} is as it was" in capsys.readouterr().err
    assert path.read_text() == log.read_text() == "weeks of work"
    assert sorted(os.listdir(tmp_path)) == ["keep.safetensors", beside.name, "log.json"]
    assert main([*command, "--resume", str(beside)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["keep.safetensors", "log.json"]
    assert [row["epoch"] for row in json.loads(log.read_text())] == [1, 2]
    assert {os.stat(old).st_mode & 0o777 for old in (path, log)} == {0o640}
    train.load_model(path)


def test_a_resumed_training_writes_over_what_it_goes_on_from_only(trained, enlarged, tmp_path):
    mine, other = tmp_path / "mine.safetensors", tmp_path / "other.safetensors"
    mine.write_bytes((trained / "m.safetensors").read_bytes())
    other.write_text("weeks of work")
    command = ["train", "lenet5", "--data", str(enlarged), "--batch", "16", "--resume", str(mine)]
    assert main([*command, "--epochs", "5", "-o", str(other)]) == 2
    assert other.read_text() == "weeks of work"
    epochs = len(train.load(mine).about["training"]["state"]["history"])
    assert main([*command, "--epochs", str(epochs), "-o", str(tmp_path / "same.safetensors")]) == 0
    train.load_model(tmp_path / "same.safetensors")  # nothing was left to train: saved all the same


def test_a_full_disk_ends_the_training_with_one_line(enlarged, tmp_path, monkeypatch, capsys):
    path = tmp_path / "m.safetensors"
    path.write_text("weeks of work")

    def full(target, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    command = ["train", "lenet5", "--data", str(enlarged), *SHORT, "-o", str(path), "--force"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "cannot be written (No space left on device); what was there is as it was" in error
    assert error.count("\n") == 1
    assert path.read_text() == "weeks of work"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def optimizer_of(*arguments):
    """What the command line makes of its options."""
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers())
    options = parser.parse_args([*QUICK, *arguments])
    options_of.settle(options, None)
    return made.optimizer_of(options, nn.Linear(2, 2))


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


def test_mixed_images_and_a_rate_that_is_meant_to_change(enlarged, tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    command = ["train", "lenet5", "--data", str(enlarged), *SHORT, "-o", str(path)]
    command += ["--mixup", "0.3", "--label-smoothing", "0.1", "--accumulate", "2"]
    assert main([*command, "--epochs", "1"]) == 0
    again = [*command, "--epochs", "2", "--resume", str(path), "--lr", "0.005"]
    assert main(again) == 2
    assert "lr=0.005: the checkpoint was made with 0.001" in capsys.readouterr().err
    assert main([*again, "--change", "lr"]) == 0
    settings = train.load(path).about["training"]["settings"]
    assert settings["lr"] == 0.005
    assert settings["mix"] == "Mixup(classes=3, alpha=0.3)"
    assert settings["loss.label_smoothing"] == 0.1
    assert main([*command, "--epochs", "1", "--force", "--change", "lr"]) == 2
    assert "--change: nothing to change; allowed with --resume" in capsys.readouterr().err
