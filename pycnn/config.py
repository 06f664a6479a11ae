"""Every environment variable of pycnn, in one table.

``config.get(name)`` reads, checks and converts one; `docs/environment.md` holds the same table,
written by ``make docs`` and compared by a test. A variable is read at each call, so a change in
``os.environ`` takes effect at once.
"""

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes
    ----------
    name : str
        As in the environment, ``PYCNN_...``.
    default : str
        The text that stands for an unset variable; goes through `parse` as well.
    meaning : str
        One sentence for the table.
    allowed : str
        The values `parse` accepts, in words; part of the error message.
    parse : callable
        Text to value; raises `ValueError` on anything not allowed.
    """

    name: str
    default: str
    meaning: str
    allowed: str
    parse: Callable[[str], Any]


def _flag(text: str) -> bool:
    return {"0": False, "1": True}[text]


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MOST_THREADS:
        raise ValueError(text)
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KMG]?)", text, re.ASCII).groups()  # type: ignore[union-attr]
    return int(number) << {"": 0, "K": 10, "M": 20, "G": 30}[unit]


def _choice(*names: str) -> dict[str, Any]:
    return {"allowed": ", ".join(names), "parse": dict(zip(names, names, strict=True)).__getitem__}


def _names(*known: str) -> Callable[[str], tuple[str, ...]]:
    table = _choice(*known)["parse"]
    return lambda text: tuple(table(name) for name in text.split(","))


def _like(pattern: str) -> Callable[[str], str]:
    return lambda text: re.fullmatch(pattern, text, re.ASCII).group()  # type: ignore[union-attr]


def _directory(text: str) -> Path:
    path = Path(text).expanduser()  # RuntimeError: no HOME, and a user the system does not know
    if not path.is_absolute() or "\0" in text:
        raise ValueError(text)
    return path


def _command(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


#: More than any machine has cores; a hundred thousand cannot be started.
MOST_THREADS = 1024

_THREADS: dict[str, Any] = {
    "allowed": f"a whole number from 0 to {MOST_THREADS}", "parse": _threads,
}  # fmt: skip
_FLAG: dict[str, Any] = {"allowed": "0, 1", "parse": _flag}
_TEST_BACKENDS = ("reference", "emulator", "checked", "cuda")

VARIABLES = (
    Variable("PYCNN_BACKEND", "reference", "What runs a call on NumPy arrays.",
             **_choice("reference", "emulator")),
    Variable("PYCNN_CACHE_DIR", "~/.cache/pycnn",
             "Folder of the compiled kernels.", "an absolute path", _directory),
    Variable("PYCNN_CHECK_VALUES", "deferred",
             "When the values of CuPy arrays are checked, such as class indices: by the GPU while "
             "it works, the outcome raised later (pycnn.synchronize), at once, which waits for the "
             "GPU, or never. NumPy arrays are checked at once.",
             **_choice("deferred", "sync", "off")),
    Variable("PYCNN_CHECKED", "0",
             "1: the emulator compiles kernels in the checked build, which reports races, "
             "out-of-bounds accesses and uninitialised reads.", **_FLAG),
    Variable("PYCNN_CPU_THREADS", "0",
             "Threads of the CPU path and, unless the environment says how many it has, of NumPy's "
             "OpenBLAS meanwhile; 0: OMP_NUM_THREADS, or one for each core that no other program "
             "used when pycnn began.", **_THREADS),
    Variable("PYCNN_CXX", "c++", "C++17 compiler with which the emulator compiles kernels.",
             "a command", _command),
    Variable("PYCNN_EMULATOR_ARCH", "sm_80",
             "Architecture that the emulator has kernels compiled for where it runs PTX.",
             "an architecture such as sm_80 or sm_90a", _like(r"sm_\d+[af]?")),
    Variable("PYCNN_EMULATOR_THREADS", "0",
             "Threads that run the blocks of an emulated launch; 0: one for each core.",
             **_THREADS),
    Variable("PYCNN_EMULATOR_TIMEOUT", "0",
             "Seconds after which an emulated launch ends with an error; 0: it may take any time.",
             "a number from 0 on", _seconds),
    Variable("PYCNN_SAME_VALUE_RACES", "0",
             "1: the checked build also reports threads that write, unordered, the value that is "
             "there already.", **_FLAG),
    Variable("PYCNN_EMULATOR_VIA", "auto",
             "What the emulator runs: the PTX that NVRTC makes of a kernel, or its source by the "
             "host's C++ compiler; auto: ptx where NVRTC and llvmlite can be loaded, and `pycnn "
             "info` says which.", **_choice("auto", "source", "ptx")),
    Variable("PYCNN_SCHEDULE", "forward",
             "Order in which the emulator runs the threads and blocks of a launch.",
             "forward, reverse, random:SEED", _like(r"forward|reverse|random:\d+")),
    Variable("PYCNN_TEST_BACKENDS", ",".join(_TEST_BACKENDS),
             "What the test suite runs on, separated by commas; read by the tests only.",
             f"any of {', '.join(_TEST_BACKENDS)}", _names(*_TEST_BACKENDS)),
    Variable("PYCNN_TUNED", "~/.cache/pycnn-tuned.json",
             "Data base of the choices that `pycnn tune` measured, which `auto` takes on the very "
             "same machine; read once in a process.", "an absolute path", _directory),
    Variable("PYCNN_VERBOSE", "0",
             "1: an error of the command line shows its traceback.", **_FLAG),
    Variable("PYCNN_WORKSPACE_LIMIT", "256M",
             "Largest workspace that an algorithm of a convolution may allocate.",
             "bytes, with K, M or G for multiples of 1024", _size),
)  # fmt: skip

_BY_NAME = {variable.name: variable for variable in VARIABLES}

# Every operation reads a variable or two, so the bytes behind os.environ are read directly: asking
# os.environ itself for a variable that is not set costs 2 us, as much as the rest of a look-up.
_raw: Mapping[bytes, bytes] = getattr(os.environ, "_data", os.environb)
_ENCODED = {name: os.fsencode(name) for name in _BY_NAME}


def get(name: str) -> Any:
    """Value of the variable `name`, from the environment or its default.

    Parameters
    ----------
    name : str
        A name of the table, such as ``"PYCNN_CACHE_DIR"``.

    Returns
    -------
    str, int, bool, tuple or Path
        What the variable's `parse` makes of it.

    Raises
    ------
    ValueError
        If the environment holds something not allowed; names variable, value and what is.
    KeyError
        If there is no such variable.

    Examples
    --------
    >>> import os
    >>> os.environ["PYCNN_WORKSPACE_LIMIT"] = "2K"
    >>> get("PYCNN_WORKSPACE_LIMIT")
    2048
    >>> del os.environ["PYCNN_WORKSPACE_LIMIT"]
    """
    return _parse(name, _raw.get(_ENCODED[name]))


def raw(*names: str) -> Callable[[], Iterable[bytes | None]]:
    """To be called for what the environment holds, not understood yet: things are told by it.

    In a call that is repeated, a function of Python's own costs more than all that it looks up.
    """
    return functools.partial(map, _raw.get, [_ENCODED[name] for name in names])


@functools.lru_cache
def _parse(name: str, raw: bytes | None) -> Any:
    variable = _BY_NAME[name]
    text = os.fsdecode(raw) if raw else variable.default
    try:
        return variable.parse(text)
    except (ValueError, KeyError, AttributeError):
        raise ValueError(f"{name}={text!r}: allowed is {variable.allowed}") from None
    except RuntimeError as error:
        raise ValueError(f"{name}={text!r}: {error} Set it to {variable.allowed}") from None


def unknown() -> list[str]:
    """Names in the environment that begin with ``PYCNN_`` but mean nothing: likely misspelt.

    Examples
    --------
    >>> import os
    >>> os.environ["PYCNN_BACKENDS"] = "emulator"
    >>> unknown()
    ['PYCNN_BACKENDS']
    >>> del os.environ["PYCNN_BACKENDS"]
    """
    return sorted(n for n in os.environ if n.startswith("PYCNN_") and n not in _BY_NAME)


def table() -> str:
    """The variables as a Markdown table, as it stands in `docs/environment.md`."""
    rows = [f"| `{v.name}` | `{v.default}` | {v.allowed} | {v.meaning} |" for v in VARIABLES]
    return "\n".join(["| Variable | Default | Allowed | Meaning |", "|---|---|---|---|", *rows])
