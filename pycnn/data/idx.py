"""The idx files in which MNIST is distributed: a header, then the numbers of an array.

Two zero bytes, a byte for the type, one for the number of axes, the length of each axis in four
bytes, and the numbers, all big-endian.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: Path | str) -> np.ndarray:
    """The array in an idx file, gzipped or not.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    numpy.ndarray
        C-contiguous, of the file's type and shape, in the byte order of this machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an idx file, or has more or fewer numbers than it says; names the file.

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
    content = _unpacked(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"{path} is not an idx file: it begins with {content[:4].hex(' ') or 'nothing'}; "
            "allowed: 00 00, a type, the number of axes"
        )
    if content[2] not in _TYPES:
        allowed = ", ".join(f"{code:02x}" for code in _TYPES)
        raise ValueError(f"{path} holds the unknown type {content[2]:02x}; allowed: {allowed}")
    dtype, axes = np.dtype(_TYPES[content[2]]), content[3]
    begin = 4 + 4 * axes
    if len(content) < begin:
        raise ValueError(f"{path} ends within its header, after {len(content)} of {begin} bytes")
    shape = tuple(np.frombuffer(content, ">u4", axes, offset=4).tolist())
    expected, found = dtype.itemsize * math.prod(shape), len(content) - begin
    if found != expected:
        raise ValueError(
            f"{path} has {found} bytes after its header, and {expected} by its shape {shape}: "
            f"it is {'truncated' if found < expected else 'too long'}"
        )
    numbers = np.frombuffer(content, dtype, offset=begin).reshape(shape)
    return numbers.astype(dtype.newbyteorder("="))


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != _GZIP:
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked: {error}") from error
