"""The disk cache of compiled kernels.

One folder an entry, named by its key: the file and its checksum. An entry is built in a temporary
folder beside it and renamed into place, which is atomic: a reader sees a whole entry or none. Of
two processes that want the same one, the second waits for the first and uses its result.
An entry of another form than that, or whose file does not match its checksum, is built again.

What lies here is loaded and run, so nobody else may write to the folder. The checksum is against
damage; whoever may write a file may write its checksum too.
"""

import contextlib
import errno
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import stat
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
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0

#: Of the disk or the folder; what else a build meets, such as a source that is gone, is its own.
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def directory() -> Path:
    """Folder of the cache: ``PYCNN_CACHE_DIR``. It need not exist."""
    path: Path = config.get("PYCNN_CACHE_DIR")
    return path


def problem() -> str:
    """Why the folder cannot be used, and what to do; empty if it can."""
    folder = directory()
    try:
        _require_trusted(folder)
        with _temporary_folder(folder):
            pass
    except OSError as error:
        return str(error)
    return ""


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
        data = part.encode("utf-8", "surrogateescape")
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
        Called with the path to write to; further files beside it are thrown away. What it raises
        is passed on, and nothing is kept.

    Returns
    -------
    Path
        The file in the cache. Do not write to it.

    Raises
    ------
    OSError
        If the folder of the cache cannot be written, is full, or is open to other users; names
        ``PYCNN_CACHE_DIR``. An entry that is there is found in a read-only folder too.

    Examples
    --------
    >>> path = get_or_build(key("example"), ".txt", lambda path: path.write_text("built"))
    >>> path.read_text()
    'built'
    """
    entry = directory() / key
    name = "kernel" + suffix
    _require_trusted(entry.parent)
    if not _intact(entry, name):
        with _alone(entry):
            if not _intact(entry, name):  # another process may have built it meanwhile
                _sweep_once(entry.parent)
                _build(entry, name, build)
    return entry / name


def find(key: str, suffix: str) -> Path | None:
    """The file of entry `key` if it is there and matches its checksum."""
    entry, name = directory() / key, "kernel" + suffix
    _require_trusted(entry.parent)
    return entry / name if _intact(entry, name) else None


def _require_owned(folder: Path) -> os.stat_result | None:
    """What is known of the folder, if there is one."""
    try:
        status = os.stat(folder)
    except OSError:
        return None  # nothing there: what is made will be ours alone
    if not _is_ours(status):
        raise PermissionError(
            f"the cache folder {folder} belongs to another user (uid {status.st_uid}), who could "
            "put code there; set PYCNN_CACHE_DIR to a folder of your own"
        )
    return status


def _require_trusted(folder: Path) -> None:
    """Refuse a folder into which another user could put a library for this one to load."""
    status = _require_owned(folder)
    if status is not None and _is_open(status):
        raise PermissionError(
            f"the cache folder {folder} can be written by other users "
            f"(mode {stat.S_IMODE(status.st_mode):04o}), who could put code there; run "
            f"`pycnn cache clear` and `chmod 700 {folder}`, or set PYCNN_CACHE_DIR to another"
        )


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid in (os.geteuid(), _ROOT)


def _is_open(status: os.stat_result) -> bool:
    return hasattr(os, "geteuid") and bool(status.st_mode & _WRITABLE_BY_OTHERS)


@contextlib.contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Other processes that want the same entry wait: what they would build is the same.

    Without locks of files, as on some network drives and on Windows, both build, and one is kept.
    """
    with _explained(entry.parent):
        _make(entry.parent)
    if not HAS_FILE_LOCKS:
        yield
        return
    import fcntl

    lock = entry.parent / f"{_UNFINISHED}{entry.name}.lock"
    with _explained(entry.parent):
        # A link is not followed, and nothing is truncated, whatever lies there.
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def _explained(folder: Path, only: tuple[int, ...] | None = None) -> Iterator[None]:
    """An error of the file system says which folder it is about, and how to choose another."""
    try:
        yield
    except OSError as error:
        if error.strerror is None or (only is not None and error.errno not in only):
            raise
        raise type(error)(
            f"the cache folder {folder} cannot be written ({error.strerror}); "
            "set PYCNN_CACHE_DIR to one that can"
        ) from error


def _intact(entry: Path, name: str) -> bool:
    """Whether the entry has the form that `_build` gives it, and its file the right contents."""
    try:
        folder, *files = (os.lstat(p) for p in (entry, entry / name, entry / "sha256"))
        if not stat.S_ISDIR(folder.st_mode) or not all(stat.S_ISREG(f.st_mode) for f in files):
            return False
        if not all(_is_ours(s) and not _is_open(s) for s in (folder, *files)):
            return False
        return _verified(entry, name, files[0].st_ctime_ns, files[0].st_size)
    except OSError:
        return False


@functools.lru_cache(maxsize=4096)
def _verified(entry: Path, name: str, changed: int, size: int) -> bool:
    """Whether the file matches its checksum; once per process and version of the file."""
    return (entry / "sha256").read_bytes() == _checksum(entry / name).encode()


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(entry: Path, name: str, build: Callable[[Path], object]) -> None:
    with _temporary_folder(entry.parent) as work:
        with _explained(entry.parent, _OF_DISK):
            build(work / name)
        with _explained(entry.parent):
            if os.path.lexists(entry) and not _intact(entry, name):
                _discard(entry)  # a rename does not replace a folder that holds something
            try:
                os.rename(_entry_of(work, name), entry)
            except OSError:
                if not _intact(entry, name):  # else another process was first: its result serves
                    raise


def _entry_of(work: Path, name: str) -> Path:
    """A folder with the built file and its checksum, and nothing else that the build left."""
    entry = work / "entry"
    entry.mkdir(mode=0o700)
    (entry / "sha256").write_text(_checksum(work / name))
    os.rename(work / name, entry / name)
    for path in entry.iterdir():
        path.chmod(0o600)  # whatever the umask: an entry that others may write to is not used
    return entry


def _discard(entry: Path) -> None:
    """Move a damaged entry out of the way first, so that no other process sees half of it."""
    with contextlib.suppress(OSError), _temporary_folder(entry.parent) as work:
        if entry.is_dir() and not entry.is_symlink():
            entry.chmod(0o700)  # one without permissions could not be moved, nor emptied
        os.rename(entry, work / "damaged")


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    with _explained(parent):
        _make(parent)
        work = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=parent))
    try:
        yield work
    finally:
        _remove(work)


def _sweep(folder: Path) -> None:
    """Remove what killed builds left."""
    for left in folder.glob(_UNFINISHED + "*"):
        with contextlib.suppress(OSError):  # another process sweeps too
            if time.time() - left.lstat().st_mtime > _ABANDONED_AFTER:
                _remove(left)


_sweep_once = functools.cache(_sweep)  # in a process


def _entries() -> list[Path]:
    if not directory().is_dir():
        return []
    return [path for path in directory().iterdir() if _KEY.fullmatch(path.name)]


def usage() -> tuple[int, int]:
    """Number of entries and their size in bytes."""
    entries, size = _entries(), 0
    for entry in entries:
        for folder, _, files in os.walk(entry):
            for name in files:
                with contextlib.suppress(OSError):  # another process removes or rebuilds it
                    size += os.lstat(os.path.join(folder, name)).st_size
    return len(entries), size


def clear() -> int:
    """Remove every entry, and what interrupted builds left; nothing else in the folder.

    Returns
    -------
    int
        Number of entries removed.

    Raises
    ------
    PermissionError
        If the folder belongs to another user.
    """
    _require_owned(directory())
    entries = _entries()
    for entry in entries:
        _remove(entry)
    _sweep(directory())
    return len(entries)


def _remove(left: Path) -> None:
    """A folder with all it holds, or whatever else lies there."""
    with contextlib.suppress(OSError):
        if left.is_symlink() or not left.is_dir():
            left.unlink()
        else:
            shutil.rmtree(left, ignore_errors=True)
