"""What the examples share: arguments, exit status, a progress bar, and how a picture is saved."""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.runtime.files import replacing

REACHED, MISSED, IMPOSSIBLE = 0, 1, 2

#: Colours that people with any colour vision tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#5f6368"


def parser(documentation: str | None, picture: str) -> argparse.ArgumentParser:
    """Arguments that every example takes, with the first line of its documentation."""
    made = argparse.ArgumentParser(description=(documentation or "").partition("\n")[0])
    made.add_argument(
        "-o", "--output", type=_picture, default=picture, metavar="FILE",
        help=f"the picture, .png, .svg or .pdf (default: {picture})",
    )  # fmt: skip
    made.add_argument("--seed", type=whole(0), default=0, help="of all that is random (default: 0)")
    return made


def add_counts(parser: argparse.ArgumentParser, *options: tuple[str, int, int | None, str]) -> None:
    """Options that are whole numbers from 1: their names, defaults, largest values, meanings."""
    for name, default, most, what in options:
        parser.add_argument(
            f"--{name}", type=whole(1, most), default=default, help=f"{what} (default: {default})"
        )


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """For argparse: what takes whole numbers of a range."""
    allowed = f"from {least}" + ("" if most is None else f" to {most}")

    def taken(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers {allowed}")
        return int(text)

    return taken


def above_zero(text: str) -> float:
    """For argparse: takes numbers above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: numbers above 0")
    return number


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: names in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no folder {path.parent}")
    return path


def status(example: Callable[[argparse.Namespace], bool], arguments: argparse.Namespace) -> int:
    """Run an example: 0 if it reached its goal, 1 if not, 2 if it lacks something to run."""
    try:
        figure(1, 1)  # without anything to draw with, say so before the work, not after it
        return REACHED if example(arguments) else MISSED
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return IMPOSSIBLE


def track(steps: Sequence[Any], title: str) -> Iterable[Any]:
    """The steps, with a progress bar in a terminal that is gone when they are done."""
    progress = import_extra("rich.progress", "train", "a progress bar")
    console = import_extra("rich.console", "train", "a progress bar").Console(stderr=True)
    return progress.track(
        steps, title, console=console, transient=True, disable=not console.is_terminal
    )


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    module = import_extra("matplotlib.figure", "viz", "the picture of an example")
    return module.Figure(figsize=(width, height), layout="constrained")


def plain(axes: Any, title: str, **settings: Any) -> None:
    """A title on the left, a quiet grid, no box."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(**settings)
    axes.grid(color=GREY, alpha=0.2)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def tiles(axes: Any, images: Any, columns: int, title: str) -> None:
    """Images (N, H, W) from 0 to 1 as one picture, `columns` in a row, white on black."""
    import numpy as np

    rows = -(-len(images) // columns)
    height, width = images.shape[1:]
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), 0.5, np.float32)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_axis_off()


def save(figure: Any, path: Path) -> None:
    """Write the figure whole or not at all, and say where."""
    with replacing(path) as new:
        figure.savefig(new, dpi=100)
        if path.suffix == ".png":  # 64 colours are plenty, and a third of the bytes
            pillow = import_extra("PIL.Image", "viz", "the picture of an example")
            with pillow.open(new) as image:
                few = image.convert("RGB").quantize(64, pillow.Quantize.FASTOCTREE)
            few.save(new, optimize=True)
    print(f"saved {path}")
