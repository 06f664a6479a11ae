"""Costs, the page that is exported, and training that is watched."""

import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_pages import activations, assert_shows, in_page, opened, point_at

from pycnn import data, models, nn, train
from pycnn.cli import main
from pycnn.live.export import export


def test_costs_are_those_of_the_summary_and_of_hand_made_sums(
    browser: Any, lenet_page: Any
) -> None:
    tab = opened(browser, lenet_page.address)
    tab.value("document.querySelector('#costs details').open = true")
    text = "[...r.cells].map((c) => c.textContent.replaceAll('\\u00d7', 'x'))"
    rows = tab.value(f"[...document.getElementById('cost-table').rows].map((r) => {text})")
    by_name = {row[0]: row[2:] for row in rows}
    # C3: 6x14x14 in, 2,416 parameters, 16x10x10 out, of four bytes each.
    forward, backward = 4 * (1176 + 2416 + 1600), 4 * (2 * 1176 + 1600 + 2 * 2416)
    assert by_name["c3.conv"] == [
        "16x10x10", "2,416", "240,000", f"{forward / 1024:.1f} KiB", f"{backward / 1024:.1f} KiB",
        "6.25 KiB", "14x14",
    ]  # fmt: skip
    assert by_name["all"][1:3] == ["61,706", "416,520"]
    tab.value("document.querySelector('#cost-tools button').click()")
    tab.wait("costs.times.reference?.us.length === page.layers.length")
    measured = tab.value("costs.times.reference.us")
    assert all(isinstance(us, int | float) and us > 0 for us in measured), measured
    tab.close()


def test_pointing_goes_through_branches_and_groups(
    browser: Any, serving: Any, showing: Any
) -> None:
    with nn.seeded(0):
        model = nn.Sequential(
            conv=nn.Conv2d(1, 4, 3, padding=1),
            join=nn.Concat(nn.Identity(), nn.Conv2d(4, 2, 1), nn.AvgPool2d(3, 1, 1)),
            group=nn.Conv2d(10, 4, 3, stride=2, padding=2, dilation=2, groups=2),
            sum=nn.Sum(nn.Tanh(), nn.Identity()),
            norm=nn.BatchNorm2d(4),
            pool=nn.GlobalMaxPool(),
            flatten=nn.Flatten(),
            dense=nn.Linear(4, 10),
        ).eval()
    show = showing(model)
    own = dict(activations(model, show.samples[0].image[1]))
    with serving(show) as live:
        tab = opened(browser, live.address)
        layers = tab.value("page.layers.map((l) => l.path)")
        assert layers == ["conv", "join.1", "join.2", "join", "group", "sum.0", "sum", "norm",
                          "pool", "dense"]  # fmt: skip
        group = point_at(tab, layers.index("group"), (3, 0, 4))
        assert group["maps"] == [5, 6, 7, 8, 9], "of the second of two groups"
        assert group["window"] == {"rows": [0, 2], "columns": [6, 10]}, "from -2 on, every other"
        value = float(own["group"][3, 0, 4])
        assert group["value"] == pytest.approx(value, rel=1e-4, abs=1e-5)
        assert group["sum"] == pytest.approx(value, rel=1e-3, abs=1e-4)
        for unit, source in (((2, 5, 6), "conv"), ((5, 5, 6), "join.1"), ((7, 5, 6), "join.2")):
            point_at(tab, layers.index("join"), unit)
            assert layers[tab.value("page.made.source")] == source
            assert tab.value("page.made.value === page.made.from")
        mean = point_at(tab, layers.index("join.2"), (1, 0, 0))
        corner = own["conv"][1, :2, :2]
        assert mean["sum"] == pytest.approx(float(corner.sum()) / 9, rel=1e-4), "zeros count"
        total = point_at(tab, layers.index("sum"), (1, 2, 3))
        parts = [float(own["sum.0"][1, 2, 3]), float(own["group"][1, 2, 3])]
        assert tab.value("page.made.added") == pytest.approx(parts, rel=1e-4)
        assert total["value"] == pytest.approx(sum(parts), rel=1e-4)
        tab.close()


def test_times_are_predicted_for_a_gpu(browser: Any, serving: Any, showing: Any) -> None:
    pytest.importorskip("llvmlite", reason="predictions need the extra emulator")
    model = nn.Sequential(relu=nn.ReLU(), flatten=nn.Flatten(), dense=nn.Linear(784, 10)).eval()
    with serving(showing(model, gpus=("h200",))) as live:
        tab = opened(browser, live.address)
        tab.value("document.querySelector('#cost-tools select + button').click()")
        tab.wait("costs.times.h200?.us.length === page.layers.length")
        why = "".join(tab.value("costs.times.h200.why"))
        if "needs NVRTC" in why:
            pytest.skip(why)
        assert all(us > 0 for us in tab.value("costs.times.h200.us"))
        assert "predicted" in tab.value("document.getElementById('cost-table').rows[0].textContent")
        tab.close()


def test_an_exported_page_needs_nobody(
    browser: Any, lenet: nn.Layer, showing: Any, tmp_path: Path
) -> None:
    show = showing(lenet)
    path = tmp_path / "page.html"
    path.write_text(export(show))
    tab = opened(browser, path.as_uri())
    for index in (1, 0):
        before = tab.value("page.frames")
        tab.value(f"document.querySelectorAll('#samples button')[{index}].click()")
        tab.wait(f"page.frames > {before}")
        assert_shows(tab, lenet, show.samples[index].image[1])
    own = dict(activations(lenet, show.samples[0].image[1]))
    said = point_at(tab, 3, (7, 3, 4))
    assert said["window"] == {"rows": [3, 7], "columns": [4, 8]}
    assert said["sum"] == pytest.approx(float(own["c3.conv"][7, 3, 4]), rel=1e-3, abs=1e-4)
    assert tab.value("document.getElementById('tools').hidden"), "nobody computes what is drawn"
    asked = tab.value("fetch('http://127.0.0.1:9/').then(() => 'asked', () => 'refused')")
    assert asked == "refused"
    policy = re.search(r'Security-Policy" content="([^"]*)"', path.read_text())
    assert policy is not None
    assert "connect-src 'none'" in policy[1]
    tab.close()


def test_an_export_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image", reason="images need the extra data")
    photo, page = tmp_path / "a <b>.png", tmp_path / "page.html"
    image.new("L", (28, 28), 128).save(photo)
    words = ["live", "lenet5", "--image", str(photo), "--export", str(page)]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert "<!DOCTYPE html>" in page.read_text()
    assert main(words) == 2, "it is there"
    assert "--force" in capsys.readouterr().err
    monkeypatch.setattr("pycnn.live.export.MOST_BYTES", 10_000)
    assert main([*words, "--force"]) == 2
    assert "allowed: fewer inputs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--export", "p.html", "--train"], "--train: nothing is trained"),
        (["--export", "page.pdf"], "allowed are the suffixes .html"),
        (["--output", "m.safetensors"], "allowed with --train"),
        (["--train", "--classes", "3"], "--classes: the network is made for the data"),
        (["--train", "nowhere"], "nowhere"),
        (["--image", "nowhere.png"], "no such file"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("tornado", reason="tornado is not installed (extra live)")
    assert main(["live", "lenet5", "--port", "0", *words]) == 2
    assert said in capsys.readouterr().err


def stripes() -> data.DataSet:
    """Upright and lying stripes, 60 to train with and 20 to test with, and a few that lie."""
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = np.zeros((80, 1, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        at = generator.integers(0, 4)
        if label:
            image[0, at::4] = 255
        else:
            image[0, :, at::4] = 255
    labels[-3:] = 1 - labels[-3:]
    order = np.arange(80)
    return data.DataSet.of("stripes", images, labels, ("up", "across"), order[:60], order[60:])


def test_training_is_watched(browser: Any, serving: Any, showing: Any) -> None:
    from pycnn.live.show import Show
    from pycnn.live.training import Watched

    digits = stripes()
    model = models.create("lenet5", seed=1, classes=2)
    trainer = train.Trainer(model, digits, nn.Adam(model, lr=2e-3), batch=20)
    show: Show = showing(model)
    assert show.model is not model, "what is shown is a copy"
    with serving(show) as live:
        tab = opened(browser, live.address)
        watched = Watched(trainer, 4, show, live.refresh)
        watched.start()
        tab.wait("document.getElementById('progress').textContent.startsWith('trained: epoch 4')")
        watched.stop()
        model.eval()
        x = digits.normalised(digits.images[digits.test])
        wrong = int((model(x).argmax(axis=1) != digits.labels[digits.test]).sum())
        assert wrong >= 1, "some labels lie"
        told = tab.value("document.getElementById('mistakes-text').textContent")
        assert told.startswith(f"{wrong} mistakes in 20 test images")
        assert tab.value("document.querySelectorAll('#mistakes canvas').length") == wrong
        caption = tab.value("document.getElementById('curves-text').textContent")
        assert f"{trainer.state.history[-1].test_accuracy:.1%}".replace("%", " %") in caption
        # Every tab goes on with the trained network.
        before = tab.value("page.frames")
        tab.value("chosen(1)")
        tab.wait(f"page.frames > {before} && flying === null")
        assert_shows(tab, model, show.samples[1].image[1])
        late = opened(browser, live.address)
        late.wait("document.getElementById('progress').textContent.startsWith('trained: epoch 4')")
        assert in_page(late, "probabilities").shape == (2,)
        late.close()
        tab.close()


def test_training_that_diverges_is_said_and_one_that_is_left_ends(
    serving: Any, showing: Any
) -> None:
    from pycnn.live.frames import unpack
    from pycnn.live.training import Watched

    digits = stripes()
    model = models.create("lenet5", seed=1, classes=2)
    trainer = train.Trainer(model, digits, nn.SGD(model, lr=1e30), batch=20)
    show = showing(model)
    watched = Watched(trainer, 4, show, lambda: None)
    watched.start()
    end = time.monotonic() + 60
    while "stopped" not in (unpack(show.news())[0]["text"] if show.news() else ""):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "not finite" in unpack(show.news())[0]["text"] or "nan" in unpack(show.news())[0]["text"]
    model = models.create("lenet5", seed=1, classes=2)
    trainer = train.Trainer(model, digits, nn.Adam(model, lr=1e-3), batch=20)
    watched = Watched(trainer, 10**9, showing(model), lambda: None)
    watched.start()
    watched.stop()
    assert math.isfinite(trainer.state.loss_sum)
