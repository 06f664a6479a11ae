"""What the tests do with a page, and what they hold against it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn import nn

EIGHT = [
    (0.5 + 0.17 * np.sin(2 * t), 0.5 - 0.3 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 9)
]  # fmt: skip


def opened(browser: Any, address: str, **size: Any) -> Any:
    tab = browser.open(address, **size)
    tab.wait("page.frames > 0 && page.panels.length && flying === null")
    return tab


def frame_after(tab: Any, act: Callable[[], Any]) -> None:
    """Do something, and wait for the frames that it asked for."""
    before = tab.value("page.frames")
    act()
    tab.wait(f"page.frames > {before} && flying === null && next === null")


def draw_eight(tab: Any) -> None:
    tab.value("document.getElementById('clear').click()")
    frame_after(tab, lambda: tab.draw(EIGHT))


def pixels(tab: Any) -> np.ndarray:
    """What was drawn, as the page has sent it."""
    sent = tab.value("({values: [...page.sent.values], shape: page.sent.shape})")
    return np.array(sent["values"], np.uint8).reshape(sent["shape"])


def in_page(tab: Any, layer: int | str) -> np.ndarray:
    """What the page has of a layer."""
    found = tab.value(
        f"((a) => ({{values: [...a.values], shape: a.shape}}))(page.arrays['{layer}'])"
    )
    return np.array(found["values"], np.float32).reshape(found["shape"])


def activations(model: nn.Layer, picture: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Of all layers that are not containers, and not views; nothing of pycnn.live is asked."""
    x = ((picture.astype(np.float64) / 255 - 0.5) / 0.25).astype(np.float32)[None]
    paths = {id(layer): path for path, layer in model.named_layers()}
    seen: list[tuple[str, np.ndarray]] = []

    def note(layer: nn.Layer, x: Any, y: Any) -> None:
        if not layer.children and not isinstance(layer, nn.Flatten):
            seen.append((paths[id(layer)], y[0].copy()))

    with nn.observing(note):
        model(x)
    return seen


def assert_shows(tab: Any, model: nn.Layer, picture: np.ndarray) -> None:
    own = activations(model, picture)
    assert tab.value("page.layers.map((l) => l.path)") == [path for path, _ in own]
    for number, (path, values) in enumerate(own):
        np.testing.assert_allclose(in_page(tab, number), values, rtol=1e-4, atol=1e-5, err_msg=path)
    scores = np.exp(own[-1][1] - own[-1][1].max())
    np.testing.assert_allclose(in_page(tab, "probabilities"), scores / scores.sum(), rtol=1e-4)


def place_of(tab: Any, layer: int, unit: tuple[int, int, int]) -> tuple[float, float]:
    """Where in the window a unit of a map is."""
    box = tab.value(f"""(() => {{
        const panel = page.panels[{layer}], [map, row, column] = {list(unit)};
        panel.canvas.scrollIntoView({{block: 'center'}});
        const {{x, y}} = panel.canvas.getBoundingClientRect(), [a, b] = panel.corner(map);
        return [x + a + (column + 0.5) * panel.grid.scale, y + b + (row + 0.5) * panel.grid.scale];
    }})()""")
    return box[0], box[1]


def point_at(tab: Any, layer: int, unit: tuple[int, int, int]) -> dict[str, Any]:
    """Move the mouse there, and what the page then says."""
    tab.mouse("mouseMoved", *place_of(tab, layer, unit))
    tab.wait(
        f"page.made?.place === {layer} && String(page.made.unit) === '{','.join(map(str, unit))}'"
    )
    return tab.value("""(({value, sum, window, field, maps}) => ({value, sum, window, field, maps,
        text: document.getElementById('told').innerText}))(page.made)""")
