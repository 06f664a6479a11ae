"""Files of installed packages, found without importing the packages."""

import importlib.util
from pathlib import Path

from pycnn.runtime.extras import MissingExtra, install


def package_file(package: str, inside: str, distribution: str, purpose: str) -> Path:
    """A file that an installed package brings.

    Parameters
    ----------
    package : str
        As it is imported, such as ``"sklearn"``. It is looked up, not imported.
    inside : str
        The file, from the package's folder on.
    distribution : str
        As it is installed, such as ``"scikit-learn"``.
    purpose : str
        What needs it, to begin the message with.

    Raises
    ------
    MissingExtra
        If the package is not installed, or has no such file; names it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"{purpose} needs the package {distribution}, which is not installed; "
            f"install it with: {install('data')}"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.is_file():
        raise MissingExtra(
            f"{purpose} needs {inside} of the package {distribution}, which is installed without "
            f"it ({path.parent}); install it anew with: {install('data')}"
        )
    return path
