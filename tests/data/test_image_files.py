"""`read_image`: pictures written by Pillow, and files that are none."""

import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pycnn.data import read_image
from pycnn.data.image import FORMATS
from pycnn.runtime.extras import MissingExtra

Save = Callable[..., Path]
GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_grey_has_one_channel(save_image: Save, suffix: str) -> None:
    image = read_image(save_image(f"grey.{suffix}", GREY))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.tolist() == [GREY.tolist()]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_colour_has_three(save_image: Save, suffix: str) -> None:
    image = read_image(str(save_image(f"colour.{suffix}", COLOUR)))
    assert image.shape == (3, 3, 4)
    assert image.flags.c_contiguous
    for channel in range(3):
        assert image[channel].tolist() == COLOUR[:, :, channel].tolist()


def test_a_jpeg_is_read_nearly_as_written(save_image: Save) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50))
    image = read_image(save_image("flat.jpg", flat, quality=95))
    np.testing.assert_allclose(image[:, 8, 8], [200, 100, 50], atol=3)


def test_channels_are_made_as_asked(save_image: Save) -> None:
    grey = read_image(save_image("grey.png", GREY), channels=3)
    assert grey.tolist() == [GREY.tolist()] * 3
    colour = read_image(save_image("colour.png", np.full((1, 1, 3), (200, 100, 50))), channels=1)
    # 0.299 R + 0.587 G + 0.114 B = 124.2
    assert colour.tolist() == [[[124]]]


@pytest.mark.parametrize(("size", "shape"), [(6, (1, 6, 6)), ((2, 5), (1, 2, 5))])
def test_size_is_height_and_width(
    save_image: Save, size: int | tuple[int, int], shape: tuple[int, int, int]
) -> None:
    assert read_image(save_image("grey.png", GREY), size=size).shape == shape


def test_scaling_down_averages_all_pixels(save_image: Save) -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 200
    np.testing.assert_allclose(read_image(save_image("board.png", board), size=8), 100, atol=1)


def test_what_is_transparent_is_white(save_image: Save) -> None:
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]])
    image = read_image(save_image("clear.png", pixels))
    # alpha 51 is a fifth: 0.2 * 0 + 0.8 * 255 = 204
    assert image[:, 0].T.tolist() == [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
    grey = np.array([[[7, 255], [7, 0]]])
    assert read_image(save_image("grey.png", grey)).tolist() == [[[7, 255]]]


def test_a_picture_is_turned_upright(save_image: Save) -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    exif = image_module.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise by 90 degrees
    image = read_image(save_image("held.png", GREY, exif=exif))
    assert image[0].tolist() == np.rot90(GREY, -1).tolist()


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_image(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.png cannot be read as an image: .") as caught:
        read_image(tmp_path / "notes.png")
    assert "BytesIO" not in str(caught.value)


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.bmp", "cut.gif"])
def test_a_truncated_image_is_named(save_image: Save, name: str, rng: np.random.Generator) -> None:
    path = save_image(name, rng.integers(0, 256, (40, 40)))
    whole = path.read_bytes()
    for length in range(1, len(whole) * 3 // 4, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{name} cannot be read as an image"):
            read_image(path)


def test_sixteen_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    path = tmp_path / "deep.png"
    image_module.fromarray(np.full((2, 2), 40000, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"deep\.png has pixels of mode I.*allowed: 8 bits"):
        read_image(path)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"size": 0}, ValueError, "size=0; allowed: int >= 1"),
        ({"size": (1, 2, 3)}, ValueError, r"size=\(1, 2, 3\); allowed: an int or"),
        ({"channels": 2}, ValueError, "channels=2; allowed: None, 1, 3"),
    ],
)
def test_bad_settings_are_refused(
    save_image: Save, settings: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_image(save_image("grey.png", GREY), **settings)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[data\]'"):
        read_image(tmp_path / "any.png")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def test_postscript_starts_no_program_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*args: object, **kwargs: object) -> None:
        pytest.fail("a program was started")

    for name in ("Popen", "run", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, started)
    (tmp_path / "x.png").write_bytes(POSTSCRIPT)
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image: it is none of PNG, "):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("format", ["PDF", "ICNS", "PCX", "TGA", "IM", "DDS", "SGI"])
def test_formats_that_are_rare_are_refused(tmp_path: Path, format: str) -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image_module.new("RGB", (16, 16)).save(tmp_path / "x.png", format=format)
    with pytest.raises(ValueError, match="it is none of PNG, JPEG, BMP, GIF, WEBP, TIFF, PPM"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("format", FORMATS)
def test_formats_that_are_common_are_read(tmp_path: Path, format: str) -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image_module.new("RGB", (16, 16), "white").save(tmp_path / "x", format=format)
    assert read_image(tmp_path / "x").min() > 250


@pytest.mark.parametrize("extents", [(10_000, 9_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, extents: tuple[int, int]
) -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", *extents, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(1000)),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
    (tmp_path / "x.png").write_bytes(content)
    with (
        warnings.catch_warnings(action="ignore"),  # Pillow's own, of what we refuse
        pytest.raises(
            ValueError, match=r"x\.png cannot be read as an image: .*(pixels|limit|size)"
        ),
    ):
        read_image(tmp_path / "x.png")


def test_no_image_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png is a device or a pipe"):
        read_image(tmp_path / "pipe.png")
