"""What the page of ``pycnn live`` takes from a stroke to the last bars, and a picture of it.

    python -m benchmarks.live_page [--json FILE] [--picture FILE]

In a browser without a window, on the machine as it is: the load is said with the times, and the
browser itself, its drawing included, runs on the same cores. LeNet-5, trained for a moment, is
drawn on; SqueezeNet gets photos. A time is that which the page shows: from the event of the pointer
until the frame in which everything is painted.
"""

import argparse
import io
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pycnn import data, models, nn, train
from pycnn.runtime.options import print_and_write_json, with_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "live"))
import live_browser

#: An 8, in places of the paper.
EIGHT = [
    (0.5 + 0.17 * math.sin(2 * t), 0.5 - 0.3 * math.cos(t))
    for t in (2 * math.pi * i / 40 for i in range(41))
]
#: Of the picture; it is stored with so many colours.
WIDTH, HEIGHT, COLOURS = 1500, 780, 128


@contextmanager
def serving(*words: str) -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, "-m", "pycnn", "live", *words, "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split(": ")[1].split(" ")[0]
    finally:
        process.terminate()
        process.wait()


def trained(path: Path) -> None:
    """LeNet-5 that knows digits."""
    digits = data.load("mnist5k")
    model = models.create("lenet5", seed=0)
    train.Trainer(model, digits, nn.Adam(model, lr=1e-3), checkpoint=path).fit(epochs=3)


def strokes(tab: Any) -> list[float]:
    """Draw an 8, each piece once the one before is shown; milliseconds of each."""
    tab.value("document.getElementById('clear').click()")
    tab.wait("flying === null && next === null")
    before = tab.value("page.times.length")
    box = tab.value("(({x, y, width, height}) => [x, y, width, height])"
                    "(document.getElementById('paper').getBoundingClientRect())")  # fmt: skip
    points = [(box[0] + u * box[2], box[1] + v * box[3]) for u, v in EIGHT]
    tab.mouse("mousePressed", *points[0], buttons=1)
    for number, point in enumerate(points[1:], start=1):
        tab.wait(f"page.times.length >= {before + number}")
        tab.mouse("mouseMoved", *point, buttons=1)
    tab.wait(f"page.times.length > {before + len(points) - 1}")
    tab.mouse("mouseReleased", *points[-1])
    return list(tab.value(f"page.times.slice({before + 1})"))


def photos(tab: Any, times: int) -> list[float]:
    """Choose photo after photo; milliseconds of each."""
    before = tab.value("page.times.length")
    for number in range(times):
        tab.value(f"chosen({number % 4})")
        tab.wait(f"page.times.length > {before + number}")
    return list(tab.value(f"page.times.slice({before})"))


def figures(times: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(times, n=4)
    return {"median_ms": round(middle, 1), "quarter_ms": round(low, 1),
            "three_quarters_ms": round(high, 1), "times": len(times)}  # fmt: skip


def picture(tab: Any, path: Path) -> None:
    """What was drawn, and a unit of C3 that is pointed at."""
    from PIL import Image

    place = tab.value("""(() => { const panel = page.panels[3], {x, y} =
        panel.canvas.getBoundingClientRect(), [a, b] = panel.corner(3), s = panel.grid.scale;
        return [x + a + 4.5 * s, y + b + 4.5 * s]; })()""")
    tab.mouse("mouseMoved", *place)
    tab.wait("page.made?.place === 3")
    tab.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shot = Image.open(io.BytesIO(tab.shot())).convert("RGB")
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="of the page, as PNG")
    options = with_json(parser, arguments)
    program = live_browser.found()
    if program is None:
        raise SystemExit(f"no browser is installed; any of {', '.join(live_browser.BROWSERS)}")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "lenet5.safetensors"
        trained(checkpoint)
        browser = live_browser.Browser(program, Path(folder) / "profile")
        report: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
        try:
            with serving(str(checkpoint)) as address:
                tab = browser.open(address, WIDTH, HEIGHT)
                tab.wait("page.times.length > 0")
                strokes(tab)
                report["lenet5"] = figures(strokes(tab))
                if options.picture:
                    picture(tab, options.picture)
                tab.close()
            with serving("squeezenet", "--pretrained") as address:
                tab = browser.open(address, WIDTH, HEIGHT)
                tab.wait("page.times.length > 0")
                photos(tab, 4)
                report["squeezenet"] = figures(photos(tab, 16))
        finally:
            browser.close()
    print_and_write_json(report, options.json)


if __name__ == "__main__":
    main()
