"""The commands summary and draw, as typed."""

import json
from pathlib import Path

import pytest

from pycnn import cli, models
from pycnn.train import checkpoint


def test_summary_of_a_model_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary", "vgg16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 138_357_544
    assert found["input_shape"] == [3, 224, 224]


def test_summary_with_another_input_and_width(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["summary", "resnet18", "--input", "3,64,64", "--classes", "7", "--width", "0.5"]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "input 3x64x64"
    assert "32x32x32" in lines[3]
    assert lines[-2].split()[3:6] == ["7", "1,799", "1,792"]  # 256 x 7 weights and 7 biases
    assert lines[-1].startswith("total")


def test_summary_shows_what_sharing_saves(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary", "lenet5_32", "--sharing"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # C1: 1024 inputs x 4704 outputs; 784 places x 150 weights; 150 weights
    assert lines[3].split()[-3:] == ["4,816,896", "117,600", "150"]


def test_draw_writes_the_file_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra viz")
    path = tmp_path / "net.svg"
    assert cli.main(["draw", "lenet5", "-o", str(path), "--title", "LeNet-5"]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert ">LeNet-5<" in path.read_text()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["summary", "vgg15"], "name='vgg15': allowed are lenet5"),
        (["summary", "vgg16", "--input", "3,16,16"], "the least extent that works is 32"),
        (["draw", "lenet5", "-o", "net.gif"], "-o net.gif: allowed are the suffixes .svg"),
        (["draw", "lenet5", "-o", "none/net.svg"], ": no folder "),
    ],
)
def test_bad_requests_are_one_line(
    command: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pycnn: error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_says_itself_what_its_model_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors", reason="checkpoints need the extra train")
    path = tmp_path / "digits.safetensors"
    arguments = {"input_shape": [1, 20, 24], "classes": 3}
    about = {"model": {"name": "lenet5", "arguments": arguments}, "input_shape": [1, 20, 24]}
    model = models.create("lenet5", input_shape=(1, 20, 24), classes=3)
    checkpoint.save(path, model, about=about)
    assert cli.main(["summary", str(path)]) == 0
    assert capsys.readouterr().out.startswith("input 1x20x24\n")
    assert cli.main(["summary", str(path), "--width", "0.5"]) == 2
    assert "--width: the checkpoint" in capsys.readouterr().err
