"""Blocks opened: which boxes there are, where lines part and meet; and the schemes."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pycnn import cli, models, nn
from pycnn.define.trace import tracing
from pycnn.see import parts
from pycnn.see.diagram import draw, draw_scheme
from pycnn.see.opened import opened
from pycnn.see.schemes import SCHEMES
from pycnn.see.stages import outline
from pycnn.see.trace import trace


def block(name: str, path: str) -> parts.Part:
    with tracing():
        return opened(models.create(name), models.MODELS[name].input_shape, path)


def words(part: parts.Part) -> list[tuple[str, ...]]:
    return [text.lines for text in part.texts]


def test_a_residual_block_with_its_shortcut() -> None:
    part = block("resnet18", "stage1.0")
    assert words(part) == [
        ("64 x 56 x 56",),
        ("conv 3x3, 64", "64 x 56 x 56", "batch norm", "ReLU"),
        ("conv 3x3, 64", "64 x 56 x 56", "batch norm"),
        ("+",),
        ("ReLU",),
    ]
    plus = part.texts[3]
    ends = [path.points[-1] for path in part.paths]
    right = plus.x + plus.width, plus.y + plus.height / 2  # where the shortcut ends
    top = plus.x + plus.width / 2, plus.y
    for place in (right, top):
        assert any(end == pytest.approx(place) for end in ends)


def test_a_bottleneck_with_a_projection() -> None:
    heads = [lines[0] for lines in words(block("resnet50", "stage2.0"))]
    # Halved in the first 1x1, as in the paper; the shortcut likewise.
    assert heads == ["256 x 56 x 56", "conv 1x1 / 2, 128", "conv 3x3, 128", "conv 1x1, 512",
                     "conv 1x1 / 2, 512", "+", "ReLU"]  # fmt: skip


def test_an_inception_module_has_four_branches() -> None:
    part = block("googlenet", "inception3a")
    heads = [lines[0] for lines in words(part)]
    inner = ["conv 1x1, 64", "conv 1x1, 96", "conv 3x3, 128", "conv 1x1, 16", "conv 5x5, 32",
             "max pool 3x3", "conv 1x1, 32"]  # fmt: skip
    assert heads == ["192 x 28 x 28", *inner, "joined: 256 x 28 x 28"]
    bar = part.texts[-1]
    into = {path.points[-1][0] for path in part.paths if path.points[-1][1] == bar.y}
    assert len(into) == 4
    assert all(bar.x < x < bar.x + bar.width for x in into)


def test_a_dense_layer_passes_its_input_on() -> None:
    heads = [lines[0] for lines in words(block("densenet121", "block1.0"))]
    assert heads == ["64 x 56 x 56", "batch norm", "conv 1x1, 128", "conv 3x3, 32",
                     "joined: 96 x 56 x 56"]  # fmt: skip


def test_an_auxiliary_head_stands_beside() -> None:
    part = block("googlenet", "head4a")
    heads = [lines[0] for lines in words(part)]
    assert heads == ["512 x 14 x 14", "mean pool 5x5 / 3", "conv 1x1, 128", "dense, 1024",
                     "dense, 1000", "loss, times 0.3"]  # fmt: skip
    assert sum(path.dashed for path in part.paths) == 1


def test_alexnet_has_two_towers_and_norm_layers() -> None:
    part = block("alexnet_two_towers", ".")
    found = words(part)
    first = ("conv 11x11 / 4, 48", "48 x 55 x 55", "ReLU", "norm (local response)")
    assert found.count(first) == 2
    assert [lines for lines in found if lines[0] == "dense, 2048"] == 4 * [
        ("dense, 2048", "ReLU", "dropout")
    ]
    assert found[-1] == ("dense, 1000",)
    slanted = [p for p in part.paths if p.points[0][0] != p.points[-1][0]]
    # Two from the input, two into the last; conv3 and both dense layers see both halves.
    assert len(slanted) == 2 + 2 + 3 * 2


def test_a_depthwise_network_is_no_pair_of_towers() -> None:
    heads = [lines[0] for lines in words(block("mobilenet", "blocks.0"))]
    assert heads == ["32 x 112 x 112", "depthwise 3x3, 32", "conv 1x1, 64"]


def test_every_model_is_drawn_whole_and_no_box_leaves_the_page() -> None:
    for name in models.MODELS:
        if name in ("cifar_resnet1202", "resnet152", "densenet201", "densenet169"):
            continue  # as the others, and long
        part = block(name, ".")
        right = max(text.x + text.width for text in part.texts)
        assert min(text.x for text in part.texts) > -0.01, name
        assert right < part.width + 0.01, name
        assert max(text.y + text.height for text in part.texts) < part.height + 0.01, name


@pytest.mark.parametrize(
    ("name", "path"),
    [("googlenet", "."), ("resnet50", "stage2"), ("inception_v4", "."), ("alexnet_two_towers", "."),
     ("unet", "."), ("cifar_resnet20", ".")],
)  # fmt: skip
def test_no_box_lies_on_another(name: str, path: str) -> None:
    boxes = block(name, path).texts
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            beside = a.x >= b.x + b.width or b.x >= a.x + a.width
            assert beside or a.y >= b.y + b.height or b.y >= a.y + a.height, (a.lines, b.lines)


def test_subsampling_of_1998_is_one_layer() -> None:
    with tracing():
        net = models.create("lenet5_1998")
    runs = [run.text for s in outline(net, trace(net, (1, 32, 32))).stages for run in s.runs]
    assert runs == ["conv 5x5", "subsampling 2x2 / 2", "conv 5x5", "subsampling 2x2 / 2",
                    "dense", "dense", "dense"]  # fmt: skip
    assert net.at("s2").parameter_count == 12  # a factor and a bias of each map


def test_a_product_and_a_network_of_ones_own(tmp_path: Path) -> None:
    gate = nn.Product(nn.Identity(), nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()))
    part = opened(nn.Sequential(gate), (4, 5, 7), ".")
    assert words(part)[-1] == ("\N{MULTIPLICATION SIGN}",)
    pytest.importorskip("matplotlib", reason="drawing needs the extra viz")
    path = draw(nn.Sequential(gate), (4, 5, 7), tmp_path / "gate.svg", "gate", block=".")
    assert draw(nn.Sequential(gate), (4, 5, 7), tmp_path / "b.svg", "gate", block=".")
    assert path.read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("name", SCHEMES)
def test_schemes_are_drawn(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra viz")
    tree = ElementTree.parse(draw_scheme(name, tmp_path / "scheme.svg"))
    texts = {"".join(e.itertext()) for e in tree.iter() if e.tag.endswith("text")}
    assert SCHEMES[name][0] in texts


def test_the_recurrent_scheme_shares_its_matrices() -> None:
    found = [lines[0] for lines in words(SCHEMES["rnn"][1]()) if len(lines[0]) == 1]
    assert (found.count("W"), found.count("V"), found.count("U")) == (4, 4, 5)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["resnet18", "--open", "stage9"], "--open stage9: allowed are ., stage1.0, stage1.1"),
        (["lenet5", "--open", "c9"], "--open c9: allowed are ., c1, s2"),
        (["rnn", "--width", "2"], "--width: rnn is a scheme"),
        (["rnn", "--open", "."], "--open: rnn is a scheme"),
        (["gan", "--arg", "a=1"], "--arg: gan is a scheme"),
    ],
)
def test_bad_requests_are_one_line_and_leave_no_file(
    command: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["draw", *command, "-o", str(tmp_path / "n.svg")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []
