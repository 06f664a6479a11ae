"""Optional dependencies: imported where they are used, with an error that says what to install."""

import functools
import importlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse


class MissingExtra(ImportError):
    """A package of an optional extra is needed and not installed; names the extra."""


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import `module`, or raise an error that names the extra that brings it.

    Parameters
    ----------
    module : str
        Full name of the module, such as ``"cuda.bindings.nvrtc"``.
    extra : str
        Extra of this package that installs it, such as ``"compile"``.
    purpose : str
        What needs it, to begin the message with.

    Returns
    -------
    module
        The imported module itself, not its top-level package.

    Raises
    ------
    MissingExtra
        If it cannot be imported; the reason is in the message.

    Examples
    --------
    >>> import_extra("math", extra="bench", purpose="square roots").sqrt(4.0)
    2.0
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{purpose} needs {module}, which cannot be imported ({error}); "
            f"install it with: {install(extra)}"
        ) from error


def install(*extras: str) -> str:
    """The command that installs `extras`, from where the user is.

    pycnn is on no package index, so the command names the folder that it was installed from.

    Examples
    --------
    >>> install("viz", "data")  # doctest: +ELLIPSIS
    "pip install ...[viz,data]'"
    """
    folder, editable = _checkout()
    here = folder is not None and folder == Path.cwd()
    source = "." if here or folder is None else str(folder)
    where = "" if folder else " in the checkout of pycnn, which is on no package index"
    return f"pip install {'-e ' * editable}'{source}[{','.join(extras)}]'{where}"


@functools.cache
def _checkout() -> tuple[Path | None, bool]:
    """The folder with pyproject.toml, if it is known and there, and whether pycnn runs from it."""
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file() and (root / "pycnn").is_dir():
        return root, True
    try:
        text = importlib.metadata.distribution("pycnn").read_text("direct_url.json")
        folder = Path(unquote(urlparse(json.loads(text or "{}").get("url", "")).path))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None, False
    return (folder, False) if (folder / "pyproject.toml").is_file() else (None, False)
