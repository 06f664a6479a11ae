"""The page of `pycnn profile --html` in a browser without a screen: a click joins three columns."""

import html.parser
import shutil
import subprocess
from pathlib import Path

import pytest

from pycnn.cli import main

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

KERNEL = """extern "C" __global__ void twice(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n)
    x[i] += x[i];
}
"""

#: Clicks the line of source that does the work, and says what the page then shows of it.
CLICK = """<script>
const lines = [...document.querySelectorAll(".side div")];
lines.find(d => d.textContent.includes("x[i] +=")).click();
</script></body>"""


class Columns(html.parser.HTMLParser):
    """Lines of each column, those that are chosen, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.chosen: list[list[str]] = []
        self.loads: list[str] = []
        self._into: list[list[str]] = []

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.loads += [of[name] for name in ("src", "href") if name in of]
        if of.get("class") == "side":
            self.lines.append([])
            self.chosen.append([])
        if "data-place" in of:
            self._into = [self.lines[-1]]
            self._into += [self.chosen[-1]] if "chosen" in (of.get("class") or "") else []
            for column in self._into:
                column.append("")

    def handle_endtag(self, tag):
        self._into = self._into if tag == "b" else []

    def handle_data(self, data):
        for column in self._into:
            column[-1] += data


@pytest.fixture
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed; any of {', '.join(BROWSERS)} would do")
    return found


def test_a_click_on_a_line_shows_what_it_became(browser: str, tmp_path: Path) -> None:
    pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
    source, page = tmp_path / "twice.cu", tmp_path / "page.html"
    source.write_text(KERNEL)
    words = ["--grid", "8", "--block", "64", "--arg", "x=float32:500", "--arg", "int32=500"]
    assert main(["profile", str(source), *words, "--html", str(page)]) == 0
    page.write_text(page.read_text().replace("</body>", CLICK))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
               "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'user'}",
               page.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = Columns()
    found.feed(done.stdout)
    assert not found.loads
    source_lines, ptx, machine = found.chosen
    assert [line.endswith("x[i] += x[i];") for line in source_lines] == [True]
    assert any("st.global" in line for line in ptx)
    assert any("STG" in line for line in machine)
    assert all(len(a) < len(b) for a, b in zip(found.chosen, found.lines, strict=True))
