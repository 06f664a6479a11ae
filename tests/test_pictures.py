"""The pictures of the pages worked by hand: what `python -m docs.pictures` draws, and readable."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from docs.pictures import accuracy, svg
from docs.pictures.all import FOLDER, drawn
from pycnn.models import MODELS

DOCS = Path(__file__).resolve().parents[1] / "docs"
BY_HAND = ("a-convolution-by-hand", "after-a-convolution", "networks-by-hand")
PAGES = [DOCS / f"{name}.md" for name in (*BY_HAND, "models")]
NAMES = sorted(path.stem for path in FOLDER.glob("*.svg"))
#: Of the sliding ones: the result, worked by hand, row by row.
RESULTS = {
    "one-axis": "6 2 6 8 5",
    "sliding": "4 3 4 2 4 3 2 3 4",
    "vertical-edge": "0 30 30 0 " * 4,
    "turned": "1 2 3 4 5 6 7 8 9",
    "difference": "0 5 5 0 -2 -4 -2 0",
    "relu": "3 0 0 5 0 4 0 2 1 0 0 7 0 2 6 0",
    "transposed": "1 2 3 4 2 2 4 6 8 4 4 8 10 12 6 6 12 14 16 8 3 6 7 8 4",
    "learned-filter": "1 0 -1 1 0 -1 1 0 -1",
}


@pytest.fixture(scope="module")
def pictures() -> dict[str, str]:
    return drawn()


def test_every_picture_is_what_the_script_draws(pictures: dict[str, str]) -> None:
    assert sorted(pictures) == NAMES, "run `make docs`"
    for name, text in pictures.items():
        assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == text, f"{name}: `make docs`"


def test_the_pages_show_every_picture_once_and_say_what_it_shows() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    shown = re.findall(r"^!\[(.+)\]\(by-hand/([\w-]+)\.svg\)$", text, re.M)
    assert sorted(name for _, name in shown) == NAMES
    assert all(len(words) > 15 for words, _ in shown)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_needs_nothing_else_and_has_a_title(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert len(text) < 10_000
    assert "script" not in text
    assert re.findall(r"https?:[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert root[0].tag.endswith("title")
    # Paper of its own below all else: read on light and dark pages.
    paper = next(child for child in root if child.tag.endswith("rect"))
    assert (paper.get("width"), paper.get("fill")) == (root.get("width"), svg.PAPER)


@pytest.mark.parametrize("name", NAMES)
def test_words_stay_on_the_paper(name: str) -> None:
    root = ElementTree.parse(FOLDER / f"{name}.svg").getroot()
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        length = 0.56 * float(text.get("font-size", 15)) * len(text.text or "")
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        left = x if text.get("text-anchor") == "start" else x - length / 2
        assert left > 4, text.text
        assert left + length < width - 4, text.text
        assert 8 < y < height - 4, text.text


@pytest.mark.parametrize("name", RESULTS)
def test_the_numbers_are_those_worked_by_hand(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    numbers = re.findall(r">(\N{MINUS SIGN}?[\d.]+)</text>", text)
    shown = " ".join(numbers).replace("\N{MINUS SIGN}", "-")
    assert f" {RESULTS[name].strip()} " in f" {shown} "


def test_published_accuracy_is_of_networks_that_there_are() -> None:
    drawn_ones = [name for _, names in accuracy.FAMILIES.values() for name in names]
    assert sorted(drawn_ones) == sorted(accuracy.IMAGENET)
    rest = MODELS.keys() - accuracy.IMAGENET.keys() - accuracy.OTHERS.keys()
    of_no_paper = {"lenet5", "lenet5_32", "unet"}
    assert {name for name in rest if "dcgan" not in name and "plain" not in name} == of_no_paper
    # The papers' error rates: 7.93 and 6.43 %, of AlexNet 40.7 %.
    assert accuracy.OTHERS["cifar_resnet1202"][1].top1 == pytest.approx(100 - 7.93)
    assert accuracy.OTHERS["cifar_resnet110"][1].top1 == pytest.approx(100 - 6.43)
    assert accuracy.IMAGENET["alexnet_two_towers"].top1 == pytest.approx(100 - 40.7)


def test_steps_follow_each_other_and_the_first_one_stays_without_motion() -> None:
    text = (FOLDER / "sliding.svg").read_text(encoding="utf-8")
    delays = re.findall(r'<g class="s( f)?"(?: style="animation-delay:([\d.]+)s")?>', text)
    assert delays[0] == (" f", "")
    assert [float(late) for _, late in delays[1:]] == pytest.approx(
        [svg.SECONDS * i for i in range(1, 9)]
    )
    assert f"animation:s {9 * svg.SECONDS:g}s step-end infinite" in text
    assert "@media (prefers-reduced-motion:reduce){.s{animation:none}}" in text


def test_numbers_are_printed_as_in_print() -> None:
    assert [svg.number(v) for v in (3, 2.50, -0.25, -0.001, 100, 11.533)] == [
        "3", "2.5", "\N{MINUS SIGN}0.25", "0", "100", "11.53",
    ]  # fmt: skip
    assert svg.total([3, 0, -1], 2) == "3 + 0 \N{MINUS SIGN} 1 = 2"
