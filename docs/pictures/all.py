"""Every picture by its name: functions without a leading underscore, in the modules of a page."""

import inspect
from pathlib import Path
from types import ModuleType

from docs.pictures import convolution, examples, layers, networks
from docs.pictures.svg import Picture

FOLDER = Path(__file__).resolve().parents[1] / "by-hand"
PAGES: tuple[ModuleType, ...] = (convolution, layers, networks, examples)


def drawn() -> dict[str, str]:
    """The SVG of each picture, computed by pycnn."""
    found = {}
    for page in PAGES:
        for name, function in inspect.getmembers(page, inspect.isfunction):
            if function.__module__ == page.__name__ and not name.startswith("_"):
                picture = function()
                assert isinstance(picture, Picture), name
                found[name.replace("_", "-")] = str(picture)
    return found
