"""Pictures of what a network sees, as files in memory: PNG, and JPEG where photos are."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.runtime.extras import import_extra
from pycnn.see.filters import CLASSIC, filtered
from pycnn.see.receptive import is_bound
from pycnn.see.trace import Step
from pycnn.see.write import figure_bytes, new_figure

INK, QUIET = "#22262c", "#6b7280"
#: Of receptive fields, from the first stage to the last.
FIELD_COLOURS = "plasma"
MOST_FILTERS, MOST_MAPS, COLUMNS = 64, 16, 8
#: Inches: of a row of pictures, and of one of them.
PAGE, LARGEST = 6.8, 1.5


def filters(weight: np.ndarray) -> bytes:
    """Filters of a convolution (K, C, R, S), each from its lowest weight, dark, to its highest.

    Of three channels they are shown in colour; of others as the mean over the channels.
    """
    shown = [_stretched(_as_picture(one)) for one in weight[:MOST_FILTERS]]
    return _grid(shown, columns=2 * COLUMNS, cmap="gray", interpolation="nearest")


def maps(result: np.ndarray) -> bytes:
    """The strongest feature maps of (C, H, W), by mean magnitude, in the order of channels."""
    strength = np.abs(result).mean(axis=(1, 2))
    strongest = np.sort(np.argsort(strength, kind="stable")[::-1][:MOST_MAPS])
    return _grid(
        [_stretched(result[i]) for i in strongest], [str(i) for i in strongest],
        kind="jpg", cmap="viridis", interpolation="nearest",
    )  # fmt: skip


def side_by_side(results: Sequence[tuple[str, np.ndarray]]) -> bytes:
    """The same maps behind one layer after the other, a row each, in signed colours.

    Of each result (C, H, W) those channels are shown that are strongest in the last one; 0 is
    white, and a colour is the same number everywhere.
    """
    strength = np.abs(results[-1][1]).mean(axis=(1, 2))
    strongest = np.sort(np.argsort(strength, kind="stable")[::-1][:COLUMNS])
    most = max(float(np.abs(result[strongest]).max()) for _, result in results) or 1.0
    rows, columns = len(results), len(strongest)
    side = min(PAGE / columns, LARGEST)
    figure = new_figure((side * columns + 0.4, side * rows + 0.25), layout="constrained")
    for row, (name, result) in enumerate(results):
        for column, channel in enumerate(strongest):
            axes = figure.add_subplot(rows, columns, row * columns + column + 1)
            _show(axes, result[channel], cmap="RdBu_r", vmin=-most, vmax=most)
            if row == 0:
                axes.set_title(str(channel), fontsize=6, color=QUIET, pad=2)
            if column == 0:
                axes.set_ylabel(name, fontsize=6.5, color=INK)
    return figure_bytes(figure, "jpg")


def fields(photo: np.ndarray, steps: Sequence[Step]) -> bytes:
    """What the middle element of each result sees, as frames on the photo (C, H, W)."""
    figure = new_figure((6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    _show(axes, _as_picture(photo))
    colours = _colours(len(steps))
    for step, colour in reversed(list(zip(steps, colours, strict=True))):
        (top, bottom), (left, right) = (
            span.inside(count // 2, extent)
            for span, count, extent in zip(step.field, step.extents, photo.shape[1:], strict=True)
        )
        size = "x".join(f"{float(span.size):g}" for span in step.field)
        size = f"at most {size}" if is_bound(step.field) else size
        axes.plot(
            [left - 0.5, right + 0.5, right + 0.5, left - 0.5, left - 0.5],
            [top - 0.5, top - 0.5, bottom + 0.5, bottom + 0.5, top - 0.5],
            color=colour, linewidth=2, label=f"{step.path}: {size}", clip_on=False,
        )  # fmt: skip
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False,
                  fontsize=8, labelcolor=INK)  # fmt: skip
    return figure_bytes(figure, "jpg")


def heat(photo: np.ndarray, values: np.ndarray, label: str, signed: bool) -> bytes:
    """A photo, and beside it the same under a heat map with its scale.

    Parameters
    ----------
    photo : uint8 array (C, H, W)
    values : array (H, W)
    label : str
        Of the scale.
    signed : bool
        Whether 0 is in the middle of the scale.
    """
    figure = new_figure((7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _show(left, _as_picture(photo))
    _show(right, _as_picture(photo.mean(axis=0, keepdims=True).astype(np.uint8)))
    most = float(np.abs(values).max()) or 1.0
    limits = {"vmin": -most, "vmax": most} if signed else {"vmin": 0.0, "vmax": most}
    drawn = right.imshow(values, cmap="RdBu_r" if signed else "inferno", alpha=0.55, **limits)
    bar = figure.colorbar(drawn, ax=right, shrink=0.85, pad=0.02)
    bar.set_label(label, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.solids.set_alpha(1)
    return figure_bytes(figure, "jpg")


def classic(photo: np.ndarray) -> bytes:
    """A photo and what each classic filter makes of it."""
    names = ["the photo", *CLASSIC]
    pictures = [_as_picture(photo), *(_as_picture(filtered(photo, name)) for name in CLASSIC)]
    rows, columns, width = 3, 4, 7.2
    height = width / columns * photo.shape[1] / photo.shape[2] + 0.3
    figure = new_figure((width, rows * height), layout="constrained")
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        _show(axes, picture)
        axes.set_title(name, fontsize=9, color=INK)
    return figure_bytes(figure, "jpg")


def _grid(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    columns: int = COLUMNS,
    kind: str = "png",
    **look: Any,
) -> bytes:
    """Small pictures in rows; a few are larger, none is alone on the page."""
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    side = min(PAGE / columns, LARGEST)
    head = 0.16 if titles else 0.0
    height = (side + head) * rows + 0.1
    figure = new_figure((side * columns + 0.1, height))
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, bottom=0.01, top=1 - (head + 0.03) / height,
        wspace=0.08, hspace=0.08 + 1.15 * head / side,
    )  # fmt: skip
    for i, picture in enumerate(pictures):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        _show(axes, picture, vmin=0, vmax=1, **look)
        if titles:
            axes.set_title(titles[i], fontsize=6, color=QUIET, pad=2)
    return figure_bytes(figure, kind)


def _show(axes: Any, picture: np.ndarray, **look: Any) -> None:
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if picture.ndim == 2 and not look else {}
    axes.imshow(picture, **grey, **look)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _as_picture(array: np.ndarray) -> np.ndarray:
    """(C, H, W) as matplotlib shows it: (H, W, 3) in colour, else (H, W), the mean."""
    if array.shape[0] == 3:
        return array.transpose(1, 2, 0)
    return array[0] if array.shape[0] == 1 else array.mean(axis=0)


def _stretched(picture: np.ndarray) -> np.ndarray:
    """From 0 to 1; what is the same everywhere is 0."""
    low, high = float(picture.min()), float(picture.max())
    return (picture - low) / ((high - low) or 1.0)


def _colours(count: int) -> list[Any]:
    scale = import_extra("matplotlib", "viz", "a picture").colormaps[FIELD_COLOURS]
    return [scale(0.05 + 0.9 * i / max(count - 1, 1)) for i in range(count)]
