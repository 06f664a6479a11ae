"""Oracles share nothing with the code that they judge."""

import subprocess
import sys
from pathlib import Path

import pycnn

#: `pycnn.ops` itself only says where functions are.
FORBIDDEN = ("pycnn.define", "pycnn.ops.", "pycnn.plan", "pycnn.shapes", "pycnn.reference.cpu")


def loaded(code):
    """Modules that a Python has loaded after `code`."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_no_oracle_loads_what_it_judges():
    folder = Path(pycnn.__file__).parent / "reference" / "oracle"
    names = [f"pycnn.reference.oracle.{path.stem}" for path in folder.glob("[!_]*.py")]
    found = loaded(f"import {', '.join(names)}")
    assert set(names) <= set(found)
    assert not [name for name in found if name.startswith(FORBIDDEN)]


def test_nor_does_the_reading_of_settings():
    """Run from its file: the package that it is in needs the definitions."""
    path = Path(pycnn.__file__).parent / "testing" / "reading.py"
    found = loaded(f"import runpy; assert runpy.run_path({str(path)!r})['around']")
    assert not [name for name in found if name.startswith(FORBIDDEN)]
