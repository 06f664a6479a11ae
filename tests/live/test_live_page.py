"""The page in a real browser: what it shows is what the network computes."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from live_pages import (
    EIGHT,
    activations,
    assert_shows,
    draw_eight,
    frame_after,
    in_page,
    opened,
    pixels,
    place_of,
    point_at,
)

from pycnn import models, nn


@pytest.fixture
def page(browser: Any, lenet_page: Any) -> Iterator[Any]:
    """A tab that shows the first sample."""
    tab = opened(browser, lenet_page.address)
    yield tab
    tab.close()


def test_what_is_drawn_is_computed_and_shown(page: Any, lenet: nn.Layer) -> None:
    draw_eight(page)
    picture = pixels(page)
    assert 20 < (picture > 128).sum() < 300, "an 8 was drawn"
    np.testing.assert_array_equal(in_page(page, "photo"), picture)
    assert_shows(page, lenet, picture)
    best = int(in_page(page, "probabilities").argmax())
    shown = page.value("document.querySelector('#classes li span').textContent")
    assert shown == "abcdefghij"[best]
    # What the canvas shows is in colours: not one grey, and of every map.
    colours = """((c) => new Set(new Uint32Array(c.getContext('2d')
        .getImageData(0, 0, c.width, c.height).data.buffer)).size)(page.panels[0].canvas)"""
    assert page.value(colours) > 50


def test_numbers_are_those_of_onnx_runtime(page: Any, lenet: nn.Layer, tmp_path: Any) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from pycnn.onnx import export

    draw_eight(page)
    path = tmp_path / "lenet5.onnx"
    export(lenet, path, (1, 28, 28))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = ((pixels(page).astype(np.float32) / 255 - 0.5) / 0.25)[None]
    (scores,) = session.run(None, {session.get_inputs()[0].name: x})
    last = page.value("page.layers.length") - 1
    np.testing.assert_allclose(in_page(page, last), scores[0], rtol=1e-3, atol=1e-4)


def test_pointing_names_the_window_the_field_and_the_sum(page: Any, lenet: nn.Layer) -> None:
    draw_eight(page)
    own = dict(activations(lenet, pixels(page)))
    layers = page.value("page.layers.map((l) => l.path)")
    # c3: 5x5 on s2, of which an element sees 6x6 from -2 on, each 2 pixels further.
    said = point_at(page, layers.index("c3.conv"), (7, 3, 4))
    assert said["window"] == {"rows": [3, 7], "columns": [4, 8]}
    assert said["maps"] == [*range(6)]
    assert said["field"] == {"rows": [4, 17], "columns": [6, 19]}
    assert said["value"] == pytest.approx(float(own["c3.conv"][7, 3, 4]), rel=1e-4, abs=1e-5)
    assert said["sum"] == pytest.approx(said["value"], rel=1e-3, abs=1e-4)
    assert "rows 3 to 7, columns 4 to 8" in said["text"]
    # s4: the largest of 2x2 of c3; 14x14 and two more pixels, every 4th.
    said = point_at(page, layers.index("s4"), (2, 1, 4))
    assert said["window"] == {"rows": [2, 3], "columns": [8, 9]}
    assert said["maps"] == [2]
    assert said["field"] == {"rows": [2, 17], "columns": [14, 27]}, "cut at the edge"
    assert said["sum"] == said["value"]
    assert said["value"] == pytest.approx(float(own["c3.relu"][2, 2:4, 8:10].max()), rel=1e-5)
    # c1 at the corner: the padding repeats the edge.
    said = point_at(page, layers.index("c1.conv"), (5, 0, 27))
    assert said["window"] == {"rows": [0, 2], "columns": [25, 27]}
    assert said["sum"] == pytest.approx(float(own["c1.conv"][5, 0, 27]), rel=1e-3, abs=1e-4)


def test_what_is_pointed_at_follows_the_input(page: Any, lenet: nn.Layer) -> None:
    draw_eight(page)
    place = page.value("page.layers.map((l) => l.path)").index("s2")
    unit = (3, 6, 7)
    drawn = point_at(page, place, unit)["value"]
    assert drawn == pytest.approx(float(dict(activations(lenet, pixels(page)))["s2"][unit]))
    frame_after(page, lambda: page.value("chosen(1)"))
    own = dict(activations(lenet, in_page(page, "photo").astype(np.uint8)))
    assert own["s2"][unit] != pytest.approx(drawn), "another input, another value"
    page.wait(f"Math.abs(page.made.value - {float(own['s2'][unit])}) < 1e-4")
    assert page.value("page.made.sum === page.made.value")


def test_keys_move_from_unit_to_unit_and_are_spoken(page: Any) -> None:
    page.value("page.panels[2].canvas.focus({focusVisible: true})")
    page.wait("page.made?.place === 2")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "PageDown"):
        page.key(key)
    page.wait("String(page.made?.unit) === '1,1,2'")
    spoken = page.wait("document.getElementById('spoken').textContent.includes('map 1, row 1') && "
                       "document.getElementById('spoken').textContent")  # fmt: skip
    assert "s2" in spoken
    assert "rows 2 to 3, columns 4 to 5" in spoken
    page.key("Escape")
    page.wait("page.made === null")


def test_an_edited_filter_changes_what_follows_in_this_tab_alone(
    browser: Any, lenet_page: Any, page: Any
) -> None:
    other = opened(browser, lenet_page.address)
    page.front()
    before = in_page(other, "probabilities")
    x, y = place_of(page, 0, (2, 10, 10))
    page.mouse("mouseMoved", x, y)
    page.mouse("mousePressed", x, y, buttons=1)
    page.mouse("mouseReleased", x, y)
    page.wait("document.querySelectorAll('#editor td input').length === 25")
    zeros = (
        "[...document.querySelectorAll('#editor button')].find((b) => b.textContent === 'zeros')"
    )
    frame_after(page, lambda: page.value(f"{zeros}.click()"))
    frame_after(
        page,
        lambda: page.value("""(() => { const one =
        document.querySelectorAll('#editor td input')[12]; one.value = '0.5';
        one.dispatchEvent(new Event('input')); })()"""),
    )
    changed = models.create("lenet5", seed=3).eval()
    changed.at("c1.conv").params["weight"][2] = 0
    changed.at("c1.conv").params["weight"][2, 0, 2, 2] = 0.5
    draw_eight(page)
    assert_shows(page, changed, pixels(page))
    own = dict(activations(changed, pixels(page)))
    said = page.wait("Math.abs(page.made.value - page.made.sum) < 1e-4 && page.made")
    assert said["value"] == pytest.approx(float(own["c1.conv"][2, 10, 10]), rel=1e-4, abs=1e-5)
    # A row of a dense layer too: what was changed before stays.
    changed.at("f6").params["weight"][7] = 0
    row = "{values: {values: new Float32Array(120), shape: [120]}}"
    edit = "change({type: 'edit', layer: 'f6', filter: 7}, " + row + ")"
    frame_after(page, lambda: page.value(edit))
    assert_shows(page, changed, pixels(page))
    # The other tab computes the same drawing by the network as it is.
    frame_after(other, lambda: other.value("chosen(1)"))
    frame_after(other, lambda: other.value("chosen(0)"))
    np.testing.assert_array_equal(in_page(other, "probabilities"), before)
    frame_after(page, lambda: page.value("document.getElementById('restore').click()"))
    assert_shows(page, models.create("lenet5", seed=3).eval(), pixels(page))
    other.close()


def test_switches_change_pooling_and_activation(page: Any, lenet: nn.Layer) -> None:
    draw_eight(page)
    switch = "document.querySelector('input[name={}][value={}]').click()"
    frame_after(page, lambda: page.value(switch.format("pooling", "avg")))
    frame_after(page, lambda: page.value(switch.format("activation", "tanh")))
    changed = models.create("lenet5", seed=3).eval()
    for path, layer in (("s2", nn.AvgPool2d(2)), ("s4", nn.AvgPool2d(2)), ("relu5", nn.Tanh()),
                        ("relu6", nn.Tanh())):  # fmt: skip
        changed.children[path] = layer
    for path in ("c1", "c3"):
        changed.at(path).children["relu"] = nn.Tanh()
    assert_shows(page, changed, pixels(page))
    said = point_at(page, 2, (0, 6, 6))
    assert said["sum"] == pytest.approx(said["value"], rel=1e-4)
    assert "sum over 4" in said["text"]


def test_a_lost_server_is_said_and_found_again(browser: Any, serving: Any, showing: Any) -> None:
    model = models.create("lenet5", seed=3).eval()
    with serving(showing(model)) as live:
        tab, port = opened(browser, live.address), live.port
    tab.wait("document.getElementById('trouble').textContent.includes('server is gone')")
    assert tab.value("document.getElementById('trouble').hidden") is False
    with serving(showing(model), port):
        tab.wait("document.getElementById('trouble').hidden")
        draw_eight(tab)
        assert_shows(tab, model, pixels(tab))
    tab.close()


class Slow(nn.Layer):
    """Waits until it may go on, and counts."""

    elementwise = True

    def compute(self, x: Any) -> Any:
        if x.flags.writeable:  # no placeholder of a trace
            _LOG.append(float(np.abs(x).sum()))
            end = time.monotonic() + 60
            while _HELD and time.monotonic() < end:
                time.sleep(0.005)
        return x + 0


_LOG: list[float] = []
_HELD: list[bool] = []


def test_while_a_slow_model_computes_the_page_says_so_and_the_latest_stroke_wins(
    browser: Any, serving: Any, showing: Any
) -> None:
    _LOG.clear()
    model = nn.Sequential(slow=Slow(), flatten=nn.Flatten(), dense=nn.Linear(784, 10)).eval()
    with serving(showing(model)) as live:
        tab = opened(browser, live.address)
        _HELD.append(True)
        try:
            tab.value("document.getElementById('clear').click()")
            tab.wait("document.getElementById('state').textContent === 'computing…'")
            tab.draw(EIGHT)  # many strokes, none of which is computed, but for the last
        finally:
            _HELD.clear()
        tab.wait("flying === null && next === null")
        assert_shows(tab, model, pixels(tab))
        assert len(_LOG) == 4, "a sample, an empty paper, the last stroke; the last is ours"
        tab.close()


def test_photos_that_cannot_be_read_are_said_and_do_no_harm(page: Any, lenet: nn.Layer) -> None:
    drop = "taken(new File([{}], 'photo.png'))"
    broken = "new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0])"
    frame_after(page, lambda: page.value(drop.format(broken)))
    page.wait(
        "document.getElementById('trouble').textContent.includes('cannot be read as an image')"
    )
    assert "tmp" not in page.value("document.getElementById('trouble').textContent")
    page.value(drop.format("new Uint8Array(16 * 2 ** 20)"))
    page.wait("document.getElementById('trouble').textContent.includes('allowed: 15 MiB')")
    draw_eight(page)
    page.wait("document.getElementById('trouble').hidden")
    assert_shows(page, lenet, pixels(page))


def test_a_photo_is_taken_as_predict_takes_it(page: Any, lenet: nn.Layer, tmp_path: Any) -> None:
    image = pytest.importorskip("PIL.Image", reason="images need the extra data")
    from pycnn.data import read_image

    path = tmp_path / "photo.png"
    image.fromarray(np.arange(40 * 60, dtype=np.uint16).reshape(40, 60).astype(np.uint8)).save(path)
    data = f"new Uint8Array({list(path.read_bytes())})"
    frame_after(page, lambda: page.value(f"taken(new File([{data}], 'photo.png'))"))
    assert_shows(page, lenet, read_image(path, (28, 28), 1))


@pytest.mark.parametrize(("width", "mobile"), [(390, True), (820, False), (1440, False)])
def test_nothing_is_wider_than_the_window(
    browser: Any, lenet_page: Any, width: int, mobile: bool
) -> None:
    tab = opened(browser, lenet_page.address, width=width, mobile=mobile, dark=mobile)
    assert tab.value("document.documentElement.scrollWidth") <= width
    point_at(tab, 3, (0, 2, 2))
    assert tab.value("document.documentElement.scrollWidth") <= width
    if width < 1000:  # it covers a part of the page: there is a way to let go without a keyboard
        tab.value("document.getElementById('close').click()")
        assert tab.value("getComputedStyle(document.getElementById('unit')).display") == "none"
    named = """[...document.querySelectorAll('button, input, select, canvas[tabindex]')]
        .filter((e) => !(e.textContent || e.ariaLabel || e.labels?.length))
        .map((e) => e.outerHTML)"""
    assert tab.value(named) == [], "all that can be reached has a name"
    tab.close()


def test_the_page_asks_nobody_else(page: Any) -> None:
    loaded = page.value("performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
