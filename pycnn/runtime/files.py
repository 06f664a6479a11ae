"""Write a file whole or not at all, and over another only when that was asked for."""

import contextlib
import errno
import importlib.util
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_HAS_LOCKS = importlib.util.find_spec("fcntl") is not None  # Windows has none
_MARK = ".pycnn-"  # in the names of files that are being written


def in_words(error: OSError) -> str:
    """What a command says of an error: of the system's own the file, what is wrong, what is needed.

    Examples
    --------
    >>> in_words(FileNotFoundError(errno.ENOENT, "No such file", "nothing-there.onnx"))
    'nothing-there.onnx: no such file'
    """
    if not isinstance(error.filename, str | os.PathLike):
        return str(error)
    path = Path(error.filename)
    found = path.parent.is_dir()
    said = {
        errno.ENOENT: "no such file" if found else f"no folder {path.parent}",
        errno.EISDIR: "it is a folder; needed: a file",
        errno.ENOTDIR: f"{path.parent} is a file; needed: a folder",
        errno.EACCES: "it may not be opened; needed: permission to read it, or to write to it",
    }
    return f"{path}: {said.get(error.errno or 0, error.strerror)}"


def require_file(path: Path, what: str) -> None:
    """Refuse what is neither missing nor a file: a pipe would be waited for, a device never end.

    Parameters
    ----------
    path : Path
    what : str
        It should be, such as ``"image"``.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; needed: a file, the {what}")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; needed: a file, the {what}")


def read_npy(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises
    ------
    ValueError
        If it is none, or holds Python objects.
    OSError
        If it cannot be read.
    """
    require_file(path, "array")
    try:
        with path.open("rb") as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no array of numbers that numpy.save wrote") from error
    return array


def require_replaceable(path: Path) -> None:
    """Refuse what `replacing` would: no file, or one that may not be written to."""
    require_file(path, "output")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is there and may not be written to")


def in_progress(path: Path) -> Path:
    """Where a run that is to write `path` keeps what it has until `complete`.

    That is `path` itself, or a file beside what is there, which stays if the run is interrupted.

    Examples
    --------
    >>> in_progress(Path("nothing-there.json")).name, in_progress(Path(__file__)).name
    ('nothing-there.json', 'files.unfinished.py')
    """
    if not path.exists():
        return path
    path = _destination(path) if path.is_symlink() else path
    return path.with_name(f"{path.stem}.unfinished{path.suffix}")


def complete(written: Path, path: Path) -> None:
    """Put what a run wrote, `in_progress` of `path`, in its place."""
    if written == path:
        return
    path = _destination(path)
    _liken(written, path)
    written.replace(path)
    _flush(path.parent)


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends well.

    It gets the permissions of the file that was there, or those of any new file. A link stays, and
    what it leads to is replaced. What killed processes left beside `path` is removed.

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
    OSError
        If the disk is full, or what is there is no file or may not be written to.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/note.txt") as new:
    ...         _ = new.write_text("whole")
    ...     [p.name for p in pathlib.Path(folder).iterdir()]
    ['note.txt']
    """
    named, path = Path(path), _destination(Path(path))
    require_replaceable(named)
    with _explained(named):
        _sweep(path)
        handle, temporary = _create(path)
    try:
        with _explained(named):
            yield temporary
            _liken(temporary, path)
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _destination(path: Path) -> Path:
    """What `path` leads to, if it is a link; it need not exist."""
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """A full disk and the like, which say no file themselves, name the one that they spoil."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
            raise
        raise OSError(
            f"{path} cannot be written ({error.strerror}); what was there is as it was"
        ) from error


def _create(path: Path) -> tuple[int, Path]:
    """A file beside `path`, locked for as long as this process lives."""
    while True:
        name = f".{path.name[:100]}{_MARK}{secrets.token_hex(8)}{path.suffix}"
        temporary = path.with_name(name)
        # Not by tempfile, whose files are for one user, whatever the umask is.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(handle)
        if os.fstat(handle).st_nlink:  # else another process took it for left, before the lock
            return handle, temporary
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the lock of an open file is ours now; it ends with the process."""
    if not _HAS_LOCKS:
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(path: Path) -> None:
    """Remove what was being written beside `path` by processes that are no more."""
    for left in path.parent.glob(f".{_literal(path.name[:100])}{_MARK}*"):
        with contextlib.suppress(OSError):  # another process sweeps too
            handle = os.open(left, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(handle):
                    left.unlink()
            finally:
                os.close(handle)


def _literal(name: str) -> str:
    """`name` for `Path.glob`."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _liken(new: Path, old: Path) -> None:
    """Give `new` the permissions and owner of `old`, if there is one."""
    try:
        before = old.stat()
    except FileNotFoundError:
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):  # only root can give away a file
            os.chown(new, before.st_uid, before.st_gid)
    new.chmod(stat.S_IMODE(before.st_mode))


def _flush(path: Path) -> None:
    """Have the disk hold what was written: a renamed file must not be empty after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a folder on some network drives
            raise
    finally:
        os.close(handle)


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
        temporary.write_text(text, encoding="utf-8")
