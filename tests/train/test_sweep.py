"""`pycnn train --vary`: trainings shared among workers, of which one is killed; going on."""

import argparse
import functools
import json
import os
import shutil
import signal

import numpy as np
import pytest

from pycnn import data, train
from pycnn.cli import main
from pycnn.runtime.extras import install
from pycnn.train import commands, sweep

WORDS = ["--width", "0.2", "--epochs", "2", "--batch", "50"]
VARY = ["--vary", "lr=0.003,0.01", "--vary", "optimizer=sgd,adam"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few images of two classes in files, as the command takes them."""
    pillow = pytest.importorskip("PIL.Image", reason="images need Pillow (extra data)")
    rng = np.random.default_rng(0)
    base = tmp_path_factory.mktemp("images")
    for name, bright in (("dark", 0), ("light", 40)):
        (base / name).mkdir()
        for i in range(45):
            pixels = rng.integers(bright, 200 + bright, (14, 13)).astype(np.uint8)
            pillow.fromarray(pixels).save(base / name / f"{i}.png")
    assert len(data.folder(base).train) == 72
    return base


@pytest.fixture(scope="module")
def swept(client, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("swept") / "out"
    words = ["train", "lenet5", "--data", str(folder), *WORDS, *VARY]
    assert main([*words, "-o", str(out), "--scheduler", client.scheduler.address]) == 0
    return out


def results(folder):
    """Without what a clock says, and where it was."""
    told = json.loads((folder / sweep.RESULTS).read_text())
    for one in told["trainings"]:
        one.pop("worker")
        for epoch in one["epochs"]:
            del epoch["seconds"], epoch["images_per_s"]
    return told


def arrays(path):
    return train.load(path).model


def test_each_is_the_training_that_it_says(swept, folder, tmp_path):
    told = results(swept)
    assert told["complete"]
    assert [one["settings"] for one in told["trainings"]] == [
        {"lr": lr, "optimizer": optimizer}
        for lr in ("0.003", "0.01")
        for optimizer in ("sgd", "adam")
    ]
    alone = tmp_path / "alone.safetensors"
    words = ["--lr", "0.01", "--optimizer", "sgd", "--threads", "1"]
    assert main(["train", "lenet5", "--data", str(folder), *WORDS, *words, "-o", str(alone)]) == 0
    one = told["trainings"][2]
    for name, array in arrays(alone).items():
        np.testing.assert_array_equal(arrays(swept / one["checkpoint"])[name], array)
    row = train.load(alone).about["training"]["state"]["history"][1]
    assert row["test_loss"] == one["epochs"][1]["test_loss"]


def _deadly(mark, arguments):
    """After its first epoch, the first adam of all kills the worker that it is on."""
    save = train.Trainer.save

    def and_die(trainer, path=None):
        save(trainer, path)
        with open(f"{mark}-{arguments.output.stem}", "a") as file:
            file.write(f"{trainer.state.epoch} ")
        if arguments.optimizer == "adam" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    train.Trainer.save = and_die
    try:
        return commands._train_one(arguments)
    finally:
        train.Trainer.save = save


def _parsed(words):
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers())
    arguments = parser.parse_args(words)
    return arguments.run.args[0], arguments


def test_a_lost_worker_loses_nothing(client, swept, folder, tmp_path):
    out, mark = tmp_path / "out", tmp_path / "killed"
    words = ["train", "lenet5", "--data", str(folder), *WORDS, *VARY, "-o", str(out)]
    parser, arguments = _parsed([*words, "--scheduler", client.scheduler.address])
    deadly = functools.partial(_deadly, mark)
    assert sweep.sweep(parser, arguments, commands._check_one, deadly) == 0
    assert mark.exists()
    assert [path.read_text() for path in tmp_path.glob("killed-*")] == ["1 2 "] * 4
    assert results(out) == results(swept)
    for one in results(out)["trainings"]:
        for name, array in arrays(swept / one["checkpoint"]).items():
            np.testing.assert_array_equal(arrays(out / one["checkpoint"])[name], array)
    assert not [*out.glob("*.unfinished.*")]


def test_a_sweep_goes_on(client, swept, folder, tmp_path, capsys):
    """With what is left of it, and with values that are new."""
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    file = out / sweep.RESULTS
    told = json.loads(file.read_text())
    told["trainings"] = told["trainings"][1:3]
    told["trainings"][0]["worker"] = "kept"
    file.write_text(json.dumps(told))
    words = ["train", "lenet5", "--data", str(folder), "--resume", str(out)]
    address = ["--scheduler", client.scheduler.address]
    assert main([*words, *WORDS, *VARY, *address]) == 0
    assert json.loads(file.read_text())["trainings"][1]["worker"] == "kept"
    assert results(out) == results(swept)
    assert main([*words, *WORDS, "--vary", "lr=0.01,0.1", *VARY[2:], *address]) == 0
    assert [one["settings"]["lr"] for one in results(out)["trainings"]] == ["0.01"] * 2 + [
        "0.1"
    ] * 2
    capsys.readouterr()
    assert main([*words, *VARY, *address]) == 2
    assert "epochs=10: " in capsys.readouterr().err


def test_a_sweep_that_replaces_another_goes_on_from_nothing(client, swept, folder, tmp_path):
    """Though that one was interrupted in a training with the same settings."""
    out = tmp_path / "out"
    out.mkdir()
    begun = out / "lr=0.01.unfinished.safetensors"
    shutil.copy(swept / "lr=0.01,optimizer=adam.safetensors", begun)
    words = ["train", "lenet5", "--data", str(folder), *WORDS, "--epochs", "1", "-o", str(out)]
    words += ["--force", "--vary", "lr=0.01", "--scheduler", client.scheduler.address]
    assert main(words) == 0
    (one,) = results(out)["trainings"]
    assert len(one["epochs"]) == 1
    assert not begun.exists()


def test_a_scheduler_that_is_not_there_leaves_nothing(folder, tmp_path, monkeypatch, capsys):
    def refused(*arguments, **settings):
        raise OSError("nobody answers at tcp://127.0.0.1:9")

    monkeypatch.setattr(sweep, "client_of", refused)
    out = tmp_path / "out"
    words = ["train", "lenet5", "--data", str(folder), *WORDS, *VARY, "-o", str(out)]
    assert main([*words, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "nobody answers" in capsys.readouterr().err
    assert not out.exists()


def test_one_that_diverges_is_no_end(client, folder, tmp_path):
    out = tmp_path / "out"
    words = ["train", "lenet5", "--data", str(folder), *WORDS, "--optimizer", "sgd", "-o", str(out)]
    assert main([*words, "--vary", "lr=1e30,0.1", "--scheduler", client.scheduler.address]) == 1
    bad, good = json.loads((out / sweep.RESULTS).read_text())["trainings"]
    assert (bad["status"], good["status"]) == ("failed", "trained")
    assert "the first to make such a number is" in bad["reason"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vary", "epochs=1,2"], "--vary epochs=1,2: allowed are, once each, accumulate, batch"),
        (["--vary", "lr=1,1"], "--vary lr=1,1: allowed: lr=VALUE,VALUE, each value once"),
        (["--vary", "lr=1,"], "each value once"),
        (["--vary", "lr=1", "--vary", "lr=2"], "once each"),
        (["--vary", "lr=1", "--lr", "2"], "--lr and --vary lr: allowed: one of them"),
        (["--vary", "lr=1", "--log", "a.csv"], "--log with --vary; allowed: without"),
        (["--vary", "momentum=0,1", "--optimizer", "adam"], "momentum=0: --momentum: adam has"),
        (["--vary", "batch=9,2", "--accumulate", "4"], "batch=2: accumulate=4: allowed are 1 to"),
        (["--vary", "lr=1,2", "--epochs", "0"], "lr=1: epochs=0; allowed: int >= 1"),
        (["--workers", "2"], "--workers: allowed with --vary"),
    ],
)  # fmt: skip
def test_what_cannot_be_varied_is_refused(words, said, folder, tmp_path, capsys):
    pytest.importorskip("distributed", reason=f"distributed is not installed; {install('sweep')}")
    out = tmp_path / "out"
    assert main(["train", "lenet5", "--data", str(folder), "-o", str(out), *words]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_is_there_is_kept(folder, tmp_path, capsys):
    pytest.importorskip("distributed", reason=f"distributed is not installed; {install('sweep')}")
    (tmp_path / "mine").touch()
    words = ["train", "lenet5", "--data", str(folder), "--vary", "lr=1"]
    assert main([*words, "-o", str(tmp_path)]) == 2
    assert "is there; allowed: --resume" in capsys.readouterr().err
    assert main([*words, "--resume", str(tmp_path)]) == 2
    assert "no sweep.json in it" in capsys.readouterr().err
    assert main(words) == 2
    assert "needed: -o FOLDER" in capsys.readouterr().err
