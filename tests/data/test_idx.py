"""idx files written byte by byte, whole and damaged."""

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pycnn.data import read_idx

#: Two images of 2x3, after the description of the format.
IMAGES = bytes([0, 0, 0x08, 3]) + struct.pack(">III", 2, 2, 3) + bytes(range(12))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images-idx3-ubyte"


def test_unsigned_bytes(file: Path) -> None:
    file.write_bytes(IMAGES)
    array = read_idx(file)
    assert array.dtype == np.uint8
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert array.flags.writeable


def test_gzipped_whatever_its_name(file: Path) -> None:
    file.write_bytes(gzip.compress(IMAGES, mtime=0))
    assert read_idx(str(file)).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("code", "letter", "dtype"),
    [
        (0x09, "b", "int8"),
        (0x0B, "h", "int16"),
        (0x0C, "i", "int32"),
        (0x0D, "f", "float32"),
        (0x0E, "d", "float64"),
    ],
)
def test_the_other_types_are_big_endian(file: Path, code: int, letter: str, dtype: str) -> None:
    file.write_bytes(bytes([0, 0, code, 1]) + struct.pack(f">I3{letter}", 3, -2, 0, 100))
    array = read_idx(file)
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == [-2, 0, 100]


def test_an_empty_array(file: Path) -> None:
    file.write_bytes(bytes([0, 0, 0x08, 2]) + struct.pack(">II", 0, 28))
    assert read_idx(file).shape == (0, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an idx file: it begins with nothing"),
        (b"\x00\x00\x08", "is not an idx file: it begins with 00 00 08"),
        (b"\x89PNG\r\n", "is not an idx file: it begins with 89 50 4e 47"),
        (b"\x00\x00\x07\x01" + bytes(8), "unknown type 07; allowed: 08, 09, 0b, 0c, 0d, 0e"),
        (IMAGES[:10], "ends within its header, after 10 of 16 bytes"),
        (IMAGES[:-1], r"11 bytes after its header, and 12 by its shape \(2, 2, 3\): it is trunc"),
        (IMAGES + b"\0", "13 bytes after its header, and 12 .*: it is too long"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "it is truncated"),  # 2^96 bytes are not allocated
        (gzip.compress(IMAGES, mtime=0)[:-9], "cannot be unpacked: "),
        (gzip.compress(IMAGES, mtime=0)[:12] + b"\xff" * 20, "cannot be unpacked|is not an idx"),
        (b"\x1f\x8b" + bytes(20), "cannot be unpacked: "),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(
    file: Path, content: bytes, message: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"images-idx3-ubyte.*{message}"):
        read_idx(file)


def test_a_flipped_bit_in_a_gzipped_file_is_found(file: Path) -> None:
    packed = bytearray(gzip.compress(IMAGES, mtime=0))
    packed[-8] ^= 1  # of the checksum
    file.write_bytes(packed)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        read_idx(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(FileNotFoundError, match="images-idx3-ubyte"):
        read_idx(file)


def test_a_gzipped_file_unpacks_to_no_more_than_a_limit(file: Path) -> None:
    size = 2**26
    header = bytes([0, 0, 0x08, 1]) + struct.pack(">I", size)
    file.write_bytes(gzip.compress(header + bytes(size), compresslevel=1, mtime=0))
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=rf"unpacks to {size} bytes.*; allowed: 1048576, .*limit= "
        ):
            read_idx(file, limit=2**20)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.reset_peak()
        assert read_idx(file).nbytes == size
        assert tracemalloc.get_traced_memory()[1] < 1.1 * size  # the array, and no copy of it
    finally:
        tracemalloc.stop()


def test_more_than_the_header_says_is_not_unpacked(file: Path) -> None:
    packed = gzip.compress(IMAGES + bytes(2**26), compresslevel=1, mtime=0)
    file.write_bytes(packed)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="it is too long"):
            read_idx(file)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "extents", [(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), (0,) * 200, (1,) * 100, (2**32 - 1,) * 9]
)
def test_a_shape_that_no_array_has_is_refused(file: Path, extents: tuple[int, ...]) -> None:
    content = bytes([0, 0, 8, len(extents)]) + struct.pack(f">{len(extents)}I", *extents) + b"x"
    for written in (content, content[:-1], gzip.compress(content, mtime=0)):
        file.write_bytes(written)
        with pytest.raises(ValueError, match="images-idx3-ubyte"):
            read_idx(file)


def test_no_file_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a device or a pipe"):
        read_idx(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_idx(tmp_path)
