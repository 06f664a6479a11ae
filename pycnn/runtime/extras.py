"""Optional dependencies: imported where they are used, with an error that says what to install."""

import importlib
from typing import Any


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
            f"install it with: pip install 'pycnn[{extra}]'"
        ) from error
