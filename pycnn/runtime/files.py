"""Write a file whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends well.

    Parameters
    ----------
    path : Path or str
        The folder must exist. Whatever interrupts the block, the file that was there stays.

    Yields
    ------
    Path
        In the same folder, with the same suffix.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/note.txt") as new:
    ...         _ = new.write_text("whole")
    ...     [p.name for p in pathlib.Path(folder).iterdir()]
    ['note.txt']
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, data: Any) -> None:
    """Write `data` as JSON; an interruption leaves the file that was there before.

    Parameters
    ----------
    path : Path or str
        The folder must exist.
    data
        What `json` can write. NaN and infinities are refused: they are not JSON.

    Raises
    ------
    ValueError
        If `data` holds NaN or an infinity.
    """
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text)
