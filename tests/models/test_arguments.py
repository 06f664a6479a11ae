"""What only some networks can be told, from text: read, refused, and kept with a checkpoint."""

import argparse
import json

import pytest

from pycnn import models
from pycnn.cli import main
from pycnn.models import MODELS, arguments, command_line


@pytest.mark.parametrize(
    ("name", "texts", "read"),
    [
        ("lenet5_32", ["hidden=120,100", "padding=1"], {"hidden": (120, 100), "padding": 1}),
        ("googlenet", ["heads=false"], {"heads": False}),
        ("unet", ["dropout=0.25", "padding=same"], {"dropout": 0.25, "padding": "same"}),
        ("unet", ["dropout=0"], {"dropout": 0.0}),
        ("dcgan_generator", ["image_shape=1,48,48"], {"image_shape": (1, 48, 48)}),
        ("vgg16", [], {}),
        ("no network", ["hidden=1,2"], {}),  # which `create` refuses
    ],
)
def test_what_is_said_is_read(name, texts, read):
    assert arguments.read(name, texts) == read


LENET = (
    r"lenet5 has padding \(an int from 0 on, 2 by default\), "
    r"hidden \(2 ints from 1 on, 120,84 by default\)"
)


@pytest.mark.parametrize(
    ("name", "texts", "message"),
    [
        ("lenet5", ["hiden=1,2"], rf"^--arg hiden=1,2: {LENET}; did you mean hidden\?$"),
        ("lenet5", ["=1"], rf"^--arg =1: {LENET}"),
        ("vgg16", ["hidden=1,2"], "vgg16 has no arguments beside those of all networks"),
        (
            "lenet5",
            ["hidden=120"],
            "hidden=120: allowed are 2 ints from 1 on, as hidden=VALUE$",
        ),
        ("lenet5", ["hidden=120,84,10"], "allowed are 2 ints"),
        ("lenet5", ["hidden=a,b"], "allowed are 2 ints"),
        ("lenet5", ["padding"], "--arg padding: allowed are an int from 0 on, as padding=VALUE"),
        ("lenet5", ["hidden=0,84"], "allowed are 2 ints from 1 on"),
        ("lenet5", ["padding=-1"], "allowed are an int from 0 on"),
        ("lenet5", ["padding=1.5"], "allowed are an int"),
        ("googlenet", ["heads=no"], "allowed are true or false"),
        ("unet", ["dropout=nan"], "allowed are a number"),
        ("lenet5", ["padding=1", "padding=2"], "padding=2: padding is given twice"),
        ("lenet5", ["width=2"], "where a command leaves it open, there is --width"),
    ],
)
def test_mistakes_are_refused_with_what_is_allowed(name, texts, message):
    with pytest.raises(ValueError, match=message):
        arguments.read(name, texts)


def test_defaults_of_every_network_are_read_from_how_they_are_written():
    for name in MODELS:
        default = {key: one.default for key, one in arguments.own(name).items()}
        said = [f"{key}={arguments.text(value)}" for key, value in default.items()]
        assert arguments.read(name, said) == default


def test_values_out_of_range_are_the_builders_to_refuse():
    with pytest.raises(ValueError, match="allowed are projection, identity, none"):
        models.create("resnet18", **arguments.read("resnet18", ["shortcut=zeros"]))


def made(*words):
    parser = argparse.ArgumentParser()
    command_line.add_arguments(parser)
    return command_line.shapes_of(parser.parse_args(words))


def test_the_digit_network_of_32x32_with_120_100_10():
    # 6x25+6, 16x6x25+16, 400x120+120, 120x100+100, 100x10+10.
    model = made("lenet5_32", "--arg", "hidden=120,100").model
    assert model.parameter_count == 156 + 2_416 + 48_120 + 12_100 + 1_010


def test_every_command_says_a_mistake_in_one_line(capsys):
    bad = ["--arg", "hiden=1,2"]
    for command in (
        ["summary", "lenet5", *bad],
        ["draw", "lenet5", "-o", "n.svg", *bad],
        ["visualise", "lenet5", "coffee", "-o", "seen", *bad],
        ["train", "lenet5", "--data", "digits", *bad],
        ["bench", "lenet5", "--op", "gemm", *bad],
        ["live", "lenet5", "--export", "n.html", *bad],
    ):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "--arg hiden=1,2: lenet5 has padding (an int from" in line
    assert main(["bench", "standard", "--arg", "hidden=1,2"]) == 2
    assert "allowed with the name of one" in capsys.readouterr().err


SHORT = ["--epochs", "1", "--batch", "64", "--threads", "1"]


def test_they_are_kept_with_a_checkpoint_and_training_goes_on_with_them(tmp_path, capsys):
    pytest.importorskip("safetensors", reason="checkpoints need the extra train")
    pytest.importorskip("rich", reason="training needs the extra train")
    pytest.importorskip("sklearn", reason="the digits need the extra data")
    path = tmp_path / "digits.safetensors"
    train = ["train", "lenet5", "--data", "digits", "-o", str(path)]
    assert main([*train, *SHORT, "--arg", "hidden=14,9", "--arg", "padding=4"]) == 0
    assert main(["summary", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    rows = {row["path"]: row["parameters"] for row in found["layers"]}
    assert rows["f6"] == 14 * 9 + 9
    resume = [*train, "--resume", str(path), "--epochs", "2", "--threads", "1"]
    assert main([*resume, "--arg", "hidden=14,8"]) == 2
    assert "--arg hidden=14,8: the checkpoint was made with 14,9" in capsys.readouterr().err
    assert main([*resume, "--arg", "hidden=14,9"]) == 0
    assert main(["summary", str(path), "--arg", "padding=2"]) == 2
    assert "--arg: the checkpoint" in capsys.readouterr().err
