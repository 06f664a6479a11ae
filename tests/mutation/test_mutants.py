"""Every mutant dies: a mistake in the package is found by a named, quick selection of tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import MUTANTS, SELECTIONS

ROOT = Path(__file__).parents[2]

#: What the tests need of the repository.
COPIED = ("pycnn", "kernels", "emulator", "tests", "pyproject.toml")

#: Seconds; a selection takes a few, and longer where its kernels must be compiled first.
LIMIT = 600

#: How pytest ends where nothing was found, or nothing was tested. (A mistake may even crash it.)
NOT_FOUND = (0, 3, 4, 5)

EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=str)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy to make mistakes in."""
    copy = tmp_path_factory.mktemp("mutants")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def run(tree, selection):
    """How pytest ends, and what it says."""
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ("-q", "-x", "-p", "no:cacheprovider", "--no-header")
    command = [sys.executable, "-m", "pytest", *options, *SELECTIONS[selection]]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **own}, capture_output=True, text=True, timeout=LIMIT
    )
    return done.returncode, done.stdout[-2000:]


@EACH
def test_still_applies(mutant):
    """What it would change is there, and what it would make of it is Python."""
    text = (ROOT / mutant.file).read_text()
    assert mutant.right in text, f"{mutant.file} has changed: mend tests/mutation/mutants.txt"
    compile(text.replace(mutant.right, mutant.wrong), mutant.file, "exec")


@pytest.mark.exhaustive
@pytest.mark.parametrize("selection", SELECTIONS)
def test_without_a_mistake_they_pass(tree, selection):
    assert run(tree, selection)[0] == 0


@pytest.mark.exhaustive
@EACH
def test_dies(tree, mutant):
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.right, mutant.wrong))
    try:
        ended, said = run(tree, mutant.found_by)
    finally:
        path.write_text(text)
    assert ended not in NOT_FOUND, said
