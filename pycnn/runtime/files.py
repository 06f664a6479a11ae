"""Write a file whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


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
    path = Path(path)
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
