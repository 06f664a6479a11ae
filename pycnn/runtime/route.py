"""What the emulator runs: the source, or PTX, or with ``auto`` PTX wherever it can be made."""

import functools

from pycnn import config
from pycnn.runtime import nvrtc
from pycnn.runtime.extras import import_extra

ROUTES = ("source", "ptx")


@functools.cache
def route() -> tuple[str, str]:
    """What ``auto`` is here: ``ptx``, and the compilers; or ``source``, and what PTX lacks.

    Examples
    --------
    >>> route()[0] in ROUTES
    True
    """
    try:
        binding = import_extra("llvmlite.binding", "emulator", "running PTX in the emulator")
        llvm = ".".join(map(str, binding.llvm_version_info))
        return "ptx", f"NVRTC {nvrtc.version()}, LLVM {llvm}"
    except ImportError as error:
        return "source", str(error)


def resolved(via: str | None = None) -> str:
    """``source`` or ``ptx``: what is asked for, else ``PYCNN_EMULATOR_VIA``, else `route`.

    Raises
    ------
    ValueError
        If `via` is neither.
    """
    if via is None:
        via = config.get("PYCNN_EMULATOR_VIA")
        via = route()[0] if via == "auto" else via
    if via not in ROUTES:
        raise ValueError(f"via={via!r}; allowed: {', '.join(ROUTES)}")
    return via
