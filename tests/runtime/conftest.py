"""Kernels in a temporary folder; skips where the compile extra is missing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pycnn.runtime import cubin, sources
from pycnn.runtime.extras import MissingExtra


@pytest.fixture
def write_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes files into a folder that stands in for ``kernels/``."""
    root = tmp_path / "kernels"
    (root / "include").mkdir(parents=True)
    monkeypatch.setattr(sources, "kernel_dir", lambda: root)

    def write(file: str, text: str) -> Path:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def defined_entries() -> dict[str, str]:
    """Entry -> file, by a reading of the real kernels that shares nothing with the catalogue."""
    found = {}
    for path in sources.kernel_dir().rglob("*.cu"):
        for signature in re.findall(r"^extern \"C\" __global__([^{]*)", path.read_text(), re.M):
            # The last name before a parenthesis that is not inside another one.
            *_, name = (
                match[1]
                for match in re.finditer(r"(\w+)\s*\(", signature)
                if signature.count("(", 0, match.start()) == signature.count(")", 0, match.start())
            )
            found[name] = path.relative_to(sources.kernel_dir()).as_posix()
    return found


@pytest.fixture
def needs_cuobjdump(needs_nvrtc: None) -> None:
    try:
        cubin._tool()
    except MissingExtra as error:
        pytest.skip(str(error))
