"""Pictures and the page: made by the command, read by a browser."""

import html.parser
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pycnn import cli, nn
from pycnn.see import pictures
from pycnn.see.prepare import prepare_image
from pycnn.see.visualisation import html as html_page, visualise

pytest.importorskip("matplotlib", reason="pictures need the extra viz")
image_module = pytest.importorskip("PIL.Image", reason="images need the extra data")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def square_photo(path: Path) -> Path:
    """A photo of 40x30 with a bright square."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[8:20, 10:30] = (250, 120, 20)
    image_module.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the command leaves in a folder, and the page."""
    folder = tmp_path_factory.mktemp("seen")
    image = square_photo(folder / "a <b> & c.png")
    page = folder / "page.html"
    command = ["visualise", "lenet5", str(image), "-o", str(folder / "new" / "pictures")]
    assert cli.main([*command, "--html", str(page), "--patch", "14"]) == 0
    return folder / "new" / "pictures", page.read_text()


def test_pictures_are_of_the_network_every_stage_and_every_map(made: tuple[Path, str]) -> None:
    names = sorted(path.name for path in made[0].iterdir())
    assert names == [
        "classic-filters.jpg", "field.jpg", "filters.png", "first-stage.jpg", "grad-cam.jpg",
        "maps-1-c1.relu.jpg", "maps-2-c3.relu.jpg", "maps-3-s4.jpg", "network.svg", "occlusion.jpg",
    ]  # fmt: skip
    for path in (path for path in made[0].iterdir() if path.suffix != ".svg"):
        with image_module.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, f"{path.name} shows something"


def test_what_random_weights_say_is_no_finding(
    made: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "the weights are random, not trained: classes and heat maps mean nothing"
    assert said in made[1]
    image = square_photo(tmp_path / "a.png")
    command = ["visualise", "lenet5", str(image), "--html", str(tmp_path / "p.html")]
    assert cli.main([*command, "--patch", "28"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(said)
    assert "%  class " in second


def test_page_needs_nothing_else(made: tuple[Path, str]) -> None:
    text = made[1]
    sources = re.findall(r'(?:src|href)=["\']?([^"\'> ]{0,20})', text)
    assert len(sources) == 9
    assert all(source.startswith("data:image/") for source in sources)
    without = re.sub(r"data:[^\"]*", "", text)
    assert "<script" not in without
    assert "://" not in without
    assert "@import" not in without
    assert "url(" not in without
    assert "default-src 'none'" in without


def test_page_escapes_names_and_closes_what_it_opens(made: tuple[Path, str]) -> None:
    assert "a &lt;b&gt; &amp; c.png" in made[1]
    assert "<b>" not in made[1]
    opened: list[str] = []

    class Balance(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Balance().feed(made[1])
    assert opened == []


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    return found


def run_browser(folder: Path, *arguments: str) -> str:
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", *arguments, (folder / "page.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_a_browser_reads_the_page(made: tuple[Path, str], tmp_path: Path) -> None:
    """The browser sizes every image itself: one it could not decode has no natural width."""
    probe = (
        "<script>addEventListener('load', () => { document.title = JSON.stringify(["
        "...document.images].map(i => i.naturalWidth)); });</script></body>"
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy in made[1]
    probed = made[1].replace(policy, policy + "; script-src 'unsafe-inline'")
    (tmp_path / "page.html").write_text(probed.replace("</body>", probe))
    found = run_browser(tmp_path, "--dump-dom")
    widths = re.search(r"<title>\[([\d,]+)\]</title>", found)
    assert widths is not None
    assert len(widths[1].split(",")) == 9
    assert all(int(width) > 100 for width in widths[1].split(","))


def test_a_browser_draws_the_page(made: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(made[1])
    shot = tmp_path / "shot.png"
    run_browser(tmp_path, f"--screenshot={shot}", "--window-size=900,1600")
    with image_module.open(shot) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colours = {tuple(int(c) for c in pixel) for pixel in pixels[::7]}
    assert len(colours) > 100
    assert (0xF0, 0xC0, 0x5A) in colours  # a convolution's box in the diagram


def test_a_network_that_is_no_classifier_has_no_heat_maps(tmp_path: Path) -> None:
    image = prepare_image(square_photo(tmp_path / "a.png"), (3, 16, 16))
    result = visualise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), image)
    assert result.classes == ()
    assert {picture.section for picture in result.pictures} == {
        "The network", "Filters of the first convolution", "One layer after the other",
        "Feature maps", "Receptive field", "Classic filters",
    }  # fmt: skip
    assert "Most probable" not in html_page("x", nn.Sequential(nn.ReLU()), image, result)


def test_what_a_network_is_shown_is_the_image(tmp_path: Path) -> None:
    path = square_photo(tmp_path / "a.png")
    image = prepare_image(path, (3, 30, 40))
    assert image.photo[:, 10, 15].tolist() == [250, 120, 20]
    assert image.x[:, 10, 15] == pytest.approx(
        [(v / 255 - 0.5) / 0.25 for v in (250, 120, 20)], abs=1e-5
    )
    assert prepare_image(path, (1, 28, 28)).photo.shape == (1, 28, 28)
    assert image.original.shape == (3, 30, 40)


def test_maps_of_few_channels_and_of_even_ones() -> None:
    for result in (np.zeros((1, 5, 5)), np.ones((20, 1, 9)), np.full((3, 4, 4), -2.0)):
        assert pictures.maps(result).startswith(b"\xff\xd8")


@pytest.mark.parametrize("count", [1, 3, 6, 8, 11])
def test_few_maps_fill_the_picture(count: int) -> None:
    maps = np.arange(9.0).reshape(1, 3, 3) * np.ones((count, 1, 1))
    picture = image_module.open(io.BytesIO(pictures.maps(maps)))
    inked = (np.asarray(picture.convert("L")) < 200).any(axis=0)
    assert inked[-25:].any(), "up to the right edge"


def test_the_first_stage_is_shown_layer_by_layer_on_one_scale() -> None:
    x = np.array([[[-4.0, 4.0], [2.0, -2.0]]])
    rows = [("conv", x), ("ReLU", np.maximum(x, 0)), ("max pool", np.full((1, 1, 1), 4.0))]
    picture = image_module.open(io.BytesIO(pictures.side_by_side(rows)))
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    fours = [pixels[len(pixels) * part // 100, -45] for part in (10, 43, 80)]  # right, in each row
    assert np.ptp(fours, axis=0).max() < 8
    assert fours[0][0] > 80 > fours[0][2]  # red
    left = [pixels[len(pixels) * part // 100, 60] for part in (10, 43)]
    assert left[0][0] < 40  # blue
    assert left[1].min() > 235  # what ReLU cuts off


BAD = {
    "missing image": (["lenet5", "none.png", "-o", "out"], "image none.png: no such file"),
    "no image": (["lenet5", "text.png", "-o", "out"], "text.png cannot be read as an image"),
    "unknown model": (["lenet55", "a.png", "-o", "out"], "name='lenet55': allowed are lenet5"),
    "nowhere": (["lenet5", "a.png"], "nowhere to write to: give -o DIR, --html FILE"),
    "no folder": (["lenet5", "a.png", "--html", "none/p.html"], ": no folder "),
    "no image model": (["dcgan_generator", "a.png", "-o", "out"], "takes inputs of shape (100,)"),
    "patch": (["lenet5", "a.png", "-o", "out", "--patch", "29"], "patch=29: allowed are 1 to 28"),
    "no weights": (["vgg16", "a.png", "-o", "out", "--pretrained"], "allowed are squeezenet"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_one_line_and_leave_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    square_photo(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no picture")
    arguments, message = BAD[name]
    assert cli.main(["visualise", *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pycnn: error: ")
    assert message in error
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "text.png"}


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_a_classifier_of_another_dtype(tmp_path: Path, dtype: str) -> None:
    image = prepare_image(square_photo(tmp_path / "a.png"), (3, 8, 8))
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(4, 3)
    ).to(dtype)
    assert len(visualise(net, image).classes) == 3


def test_what_numpy_computes_has_no_field_to_show(tmp_path: Path) -> None:
    class Own(nn.Layer):
        def compute(self, x: np.ndarray) -> np.ndarray:
            return x * x.mean((2, 3), keepdims=True)

    image = prepare_image(square_photo(tmp_path / "a.png"), (3, 8, 8))
    result = visualise(nn.Sequential(Own(), nn.Conv2d(3, 4, 3)), image)
    assert "Receptive field" in {picture.section for picture in result.pictures}
