"""The file that a diagram is drawn into."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pycnn import nn
from pycnn.see.diagram import draw

pytest.importorskip("matplotlib", reason="drawing needs the extra viz")


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.Flatten(), nn.Linear(1600, 10),
    )  # fmt: skip


def test_labels_are_text_that_says_the_shapes(tmp_path: Path) -> None:
    path = draw(net(), (1, 28, 28), tmp_path / "net.svg", title="a & b <small>")
    texts = ["".join(element.itertext()).strip() for element in ElementTree.parse(path).iter()
             if element.tag.endswith("text")]  # fmt: skip
    for expected in ("1 x 28 x 28", "6 x 28 x 28", "16 x 10 x 10", "10", "max pool 2x2 / 2",
                     "conv 5x5", "dense", "convolution", "pooling"):  # fmt: skip
        assert (
            expected.replace("x", "\N{MULTIPLICATION SIGN}").replace(
                "ma\N{MULTIPLICATION SIGN}", "max"
            )
            in texts
        )
    assert "a & b <small>" in texts


def test_the_same_network_gives_the_same_bytes_and_no_date(tmp_path: Path) -> None:
    files = [draw(net(), (1, 28, 28), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg")]
    assert files[0] == files[1]
    assert b"dc:date" not in files[0]


@pytest.mark.parametrize(("name", "begins"), [("n.png", b"\x89PNG"), ("n.PDF", b"%PDF")])
def test_other_formats(name: str, begins: bytes, tmp_path: Path) -> None:
    assert draw(net(), (1, 28, 28), tmp_path / name).read_bytes().startswith(begins)


def test_bad_requests_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"net\.jpg: allowed are names that end with \.svg, \.png"):
        draw(net(), (1, 28, 28), tmp_path / "net.jpg")
    with pytest.raises(FileNotFoundError, match=r"folder .*none does not exist"):
        draw(net(), (1, 28, 28), tmp_path / "none" / "net.svg")
    with pytest.raises(ValueError, match="no convolution, pooling or dense layer to draw"):
        draw(nn.ReLU(), (1, 28, 28), tmp_path / "net.svg")
    with pytest.raises(ValueError, match="layer 0, Conv2d"):
        draw(net(), (3, 28, 28), tmp_path / "net.svg")
    assert list(tmp_path.iterdir()) == []
