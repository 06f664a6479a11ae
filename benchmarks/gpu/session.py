"""Where the runs of one session lie: one machine, one state of the sources.

A stage that was stopped goes on where it was; one that is finished starts anew. Whatever another
state of the sources or another machine left lies in another folder, and is never summed.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.gpu.limited import ROOT
from benchmarks.gpu.result import Result
from pycnn.runtime.files import write_json

#: What results depend on, and the folder of the sessions.
SOURCES, SESSIONS = ("pycnn", "kernels", "tests", "benchmarks/gpu"), ROOT / "build" / "gpu"


class Session:
    """A folder of runs.

    Parameters
    ----------
    machine : str
        GPU, driver and versions, as the status of the backend says them.
    root : Path, optional
        Where the folders of all sessions lie.
    """

    def __init__(self, machine: str, root: Path = SESSIONS) -> None:
        self.key = _digest(machine)
        self.folder = root / self.key
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self, stage: str) -> Path:
        """The folder of a stage: empty, unless a run of it was stopped."""
        folder = self.folder / stage
        result = self.result(stage)
        if result is not None and result.finished:
            shutil.rmtree(folder, ignore_errors=True)
        self._file(stage).unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        return folder

    def end(self, stage: str, result: Result) -> None:
        """Keep what became of a stage."""
        write_json(self._file(stage), result.as_json())

    def result(self, stage: str) -> Result | None:
        """What became of a stage; None if it has not ended yet."""
        if not self._file(stage).exists():
            return None
        return Result.from_json(json.loads(self._file(stage).read_text()))

    def clear(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def _file(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"


def now() -> str:
    """The time as results carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def slug(name: str) -> str:
    """A name as part of a path."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _digest(machine: str) -> str:
    digest = hashlib.sha256(f"{machine}, NumPy {np.__version__}".encode())
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".cu", ".cuh", ".h", ".cpp") and path.is_file():
                yield path
