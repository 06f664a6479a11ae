"""The idx files in which MNIST is distributed: a header, then the numbers of an array.

Two zero bytes, a byte for the type, one for the number of axes, the length of each axis in four
bytes, and the numbers, all big-endian.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.runtime.files import require_file

#: Bytes that a gzipped file may unpack to; MNIST takes 47 MB, and a megabyte of gzip may hold a GB.
LIMIT = 2**30

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_PIECE = 2**20
_MOST_OF_A_BYTE = 1032  # that deflate can unpack it to: 258 bytes of two bits


def read_idx(path: Path | str, limit: int = LIMIT) -> np.ndarray:
    """The array in an idx file, gzipped or not.

    Parameters
    ----------
    path : Path or str
    limit : int, default 2**30
        Bytes that a gzipped file may unpack to.

    Returns
    -------
    numpy.ndarray
        C-contiguous, of the file's type and shape, in the byte order of this machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an idx file, has more or fewer numbers than it says, or says that it unpacks to
        more than `limit`; names the file. Nothing is allocated for the numbers then.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998: file formats.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "three-idx1-ubyte"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 10, 20, 30]))
    ...     read_idx(path)
    array([10, 20, 30], dtype=uint8)
    """
    path = Path(path)
    require_file(path, "idx file")
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if not packed:
            return _numbers(path, file, size=path.stat().st_size, limit=None)
        try:
            most = min(limit, _MOST_OF_A_BYTE * path.stat().st_size)
            with gzip.open(file) as unpacked:
                return _numbers(path, unpacked, size=None, limit=most)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} cannot be unpacked: {error}") from error


def _numbers(path: Path, file: Any, size: int | None, limit: int | None) -> np.ndarray:
    """The array in an open file, whose `size` is known or whose array may take `limit` bytes."""
    dtype, shape, begin = _header(path, file)
    expected = dtype.itemsize * math.prod(shape)
    if size is not None and size - begin != expected:
        raise _of_other_size(path, shape, expected, size - begin)
    if limit is not None and expected > limit:
        raise ValueError(
            f"{path} unpacks to {expected} bytes, by its shape {shape}; allowed: {limit}, the less "
            "of what its size can hold and limit= of pycnn.data.read_idx"
        )
    try:
        numbers = np.empty(shape, dtype)
    except ValueError as error:  # such as an extent of 0 among huge ones
        raise ValueError(f"{path} has the shape {shape}: {error}") from None
    filled = _fill(file, numbers.reshape(-1).view(np.uint8).data)
    filled += len(file.read(1))  # which also compares gzip's checksum
    if filled != expected:
        raise _of_other_size(path, shape, expected, filled)
    if not dtype.isnative:
        numbers.byteswap(inplace=True)
    return numbers.view(dtype.newbyteorder("="))


def _header(path: Path, file: Any) -> tuple[np.dtype, tuple[int, ...], int]:
    """Type and shape of the array, and where its numbers begin."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise ValueError(
            f"{path} is not an idx file: it begins with {start.hex(' ') or 'nothing'}; "
            "allowed: 00 00, a type, the number of axes"
        )
    if start[2] not in _TYPES:
        allowed = ", ".join(f"{code:02x}" for code in _TYPES)
        raise ValueError(f"{path} holds the unknown type {start[2]:02x}; allowed: {allowed}")
    axes = start[3]
    begin = 4 + 4 * axes
    extents = file.read(4 * axes)
    if 4 + len(extents) < begin:
        raise ValueError(
            f"{path} ends within its header, after {4 + len(extents)} of {begin} bytes"
        )
    return np.dtype(_TYPES[start[2]]), tuple(np.frombuffer(extents, ">u4").tolist()), begin


def _fill(file: Any, memory: memoryview) -> int:
    """Read into `memory` as far as it and the file go; the bytes read."""
    filled = 0
    # In pieces: gzip makes a copy of what it is asked for.
    while filled < len(memory) and (read := file.readinto(memory[filled : filled + _PIECE])):
        filled += read
    return filled


def _of_other_size(path: Path, shape: tuple[int, ...], expected: int, size: int) -> ValueError:
    return ValueError(
        f"{path} has {size} bytes after its header, and {expected} by its shape {shape}: "
        f"it is {'truncated' if size < expected else 'too long'}"
    )
