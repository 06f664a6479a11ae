"""Every picture by its name: what functions without a leading underscore return."""

import inspect
from pathlib import Path
from types import ModuleType

from docs.pictures import accuracy, convolution, layers, networks
from docs.pictures.svg import Picture

FOLDER = Path(__file__).resolve().parents[1] / "by-hand"
PAGES: tuple[ModuleType, ...] = (convolution, layers, networks, accuracy)


def drawn() -> dict[str, str]:
    """The SVG of each picture, computed by pycnn."""
    found = {}
    for page in PAGES:
        for name, function in inspect.getmembers(page, inspect.isfunction):
            makes = function.__annotations__.get("return") is Picture
            if makes and function.__module__ == page.__name__ and not name.startswith("_"):
                found[name.replace("_", "-")] = str(function())
    return found
