"""The examples as modules, as a person who runs them from their folder has them."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import pycnn

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG\r\n"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[Path]:
    """Where an example may save a picture; afterwards there must be one, and nothing beside it."""
    path = tmp_path / "picture.png"
    yield path
    assert path.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def agree() -> Callable[[Callable[[], Any]], None]:
    """Compare what a function returns (arrays, or dicts of them) on the emulator and reference."""
    status = {b.name: b for b in pycnn.backends()}["emulator"]
    if not status.available:
        pytest.skip(f"emulator is not available here: {status.detail}")

    def compare(step: Callable[[], dict[str, np.ndarray]]) -> None:
        with pycnn.use_backend("reference"):
            expected = step()
        with pycnn.use_backend("emulator"):
            found = step()
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5, err_msg=name)

    return compare
