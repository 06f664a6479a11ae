"""The disk cache of compiled kernels.

One folder an entry, named by its key: the file and its checksum. An entry is built in a temporary
folder beside it and renamed into place, which is atomic: a reader sees a whole entry or none. Of
two processes that want the same one, the second waits for the first and uses its result.
A file that no longer matches its checksum is built again.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pycnn import config

#: Windows has none of this kind.
HAS_FILE_LOCKS = importlib.util.find_spec("fcntl") is not None

_KEY = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".building-"
_ABANDONED_AFTER = 3600.0  # seconds: no compilation takes an hour


def directory() -> Path:
    """Folder of the cache: ``PYCNN_CACHE_DIR``. It need not exist."""
    path: Path = config.get("PYCNN_CACHE_DIR")
    return path


def key(*parts: str) -> str:
    """Key of an entry: a hash over `parts`, whose number and order count.

    Pass everything that the result depends on: the closure of the source, flags, architecture,
    and the compiler with its version.

    Examples
    --------
    >>> key("ab", "c") == key("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def get_or_build(key: str, suffix: str, build: Callable[[Path], object]) -> Path:
    """The file of entry `key`, built if it is not there or damaged.

    Parameters
    ----------
    key : str
        From :func:`key`.
    suffix : str
        Ending of the file's name, such as ``".cubin"``.
    build : callable
        Called with the path to write to. What it raises is passed on, and nothing is kept.

    Returns
    -------
    Path
        The file in the cache. Do not write to it.

    Raises
    ------
    PermissionError
        If the folder of the cache cannot be written; names ``PYCNN_CACHE_DIR``.

    Examples
    --------
    >>> path = get_or_build(key("example"), ".txt", lambda path: path.write_text("built"))
    >>> path.read_text()
    'built'
    """
    entry = directory() / key
    name = "kernel" + suffix
    if not _intact(entry, name):
        with _alone(entry):
            if not _intact(entry, name):  # another process may have built it meanwhile
                _build(entry, name, build)
    return entry / name


def find(key: str, suffix: str) -> Path | None:
    """The file of entry `key` if it is there and matches its checksum."""
    entry, name = directory() / key, "kernel" + suffix
    return entry / name if _intact(entry, name) else None


@contextlib.contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Other processes that want the same entry wait: what they would build is the same.

    Without locks of files, as on some network drives and on Windows, both build, and one is kept.
    """
    _make(entry.parent)
    if not HAS_FILE_LOCKS:
        yield
        return
    import fcntl

    lock = entry.parent / f"{_UNFINISHED}{entry.name}.lock"
    try:
        file = lock.open("w")
    except PermissionError as error:
        raise _unwriteable(entry.parent, error) from error
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise _unwriteable(folder, error) from error


def _unwriteable(folder: Path, error: PermissionError) -> PermissionError:
    return PermissionError(
        f"the cache folder {folder} cannot be written ({error.strerror}); "
        f"set PYCNN_CACHE_DIR to one that can"
    )


def _intact(entry: Path, name: str) -> bool:
    try:
        status = os.stat(entry / name)
        return _verified(entry, name, status.st_mtime_ns, status.st_size)
    except OSError:
        return False


@functools.lru_cache(maxsize=4096)
def _verified(entry: Path, name: str, changed: int, size: int) -> bool:
    """Whether the file matches its checksum; once per process and version of the file."""
    return (entry / "sha256").read_text() == _checksum(entry / name)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(entry: Path, name: str, build: Callable[[Path], object]) -> None:
    with _temporary_folder(entry.parent) as work:
        build(work / name)
        (work / "sha256").write_text(_checksum(work / name))
        if entry.exists() and not _intact(entry, name):
            _discard(entry)  # a rename does not replace a folder that holds something
        try:
            os.rename(work, entry)
        except OSError:
            if not _intact(entry, name):  # else another process was first: its result serves
                raise


def _discard(entry: Path) -> None:
    """Remove a damaged entry: renamed first, so that no other process sees half of it."""
    with contextlib.suppress(OSError), _temporary_folder(entry.parent) as work:
        os.rename(entry, work / "damaged")


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    _make(parent)
    try:
        work = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=parent))
    except PermissionError as error:
        raise _unwriteable(parent, error) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)  # gone already if it became the entry


def _entries() -> list[Path]:
    if not directory().is_dir():
        return []
    return [path for path in directory().iterdir() if _KEY.fullmatch(path.name)]


def usage() -> tuple[int, int]:
    """Number of entries and their size in bytes."""
    entries = _entries()
    sizes = (p.stat().st_size for e in entries for p in e.rglob("*") if p.is_file())
    return len(entries), sum(sizes)


def clear() -> int:
    """Remove every entry, and what interrupted builds left; nothing else in the folder.

    Returns
    -------
    int
        Number of entries removed.
    """
    entries = _entries()
    for entry in entries:
        shutil.rmtree(entry, ignore_errors=True)
    if directory().is_dir():
        for left in directory().glob(_UNFINISHED + "*"):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                _remove(left)
    return len(entries)


def _remove(left: Path) -> None:
    """A folder, or the lock of a process that was killed."""
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)
