"""The backend that NumPy arrays go to, and the build of the emulator, as the user has chosen."""

from contextvars import ContextVar

from pycnn import config
from pycnn.runtime.route import resolved

#: (backend, checked build of the emulator or None for PYCNN_CHECKED, what the emulator runs or None
#: for PYCNN_EMULATOR_VIA), or None for PYCNN_BACKEND.
active: ContextVar[tuple[str, bool | None, str | None] | None] = ContextVar(
    "pycnn_backend", default=None
)


def active_backend() -> str:
    """Name of the backend that NumPy arrays go to.

    Returns
    -------
    str
        ``"reference"`` or ``"emulator"``.

    Examples
    --------
    >>> import pycnn
    >>> with pycnn.use_backend("reference"):
    ...     pycnn.active_backend()
    'reference'
    """
    chosen = active.get()
    return chosen[0] if chosen is not None else config.get("PYCNN_BACKEND")


def emulator_checked() -> bool:
    """Whether the emulator runs its checked build: as `use_backend` or ``PYCNN_CHECKED`` says."""
    chosen = active.get()
    if chosen is not None and chosen[1] is not None:
        return chosen[1]
    return config.get("PYCNN_CHECKED")


def emulator_via() -> str:
    """What the emulator runs, ``source`` or ``ptx``: as `use_backend` or the environment says."""
    chosen = active.get()
    if chosen is not None and chosen[2] is not None:
        return chosen[2]
    return resolved()
