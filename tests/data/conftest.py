"""Small data sets made by hand, and folders of images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pycnn.data import DataSet


@pytest.fixture
def tiny() -> DataSet:
    """Twelve images of 1x2x3 whose pixels all have the image's number; labels 0, 1, 2, 0, ..."""
    images = np.repeat(np.arange(12, dtype=np.uint8), 6).reshape(12, 1, 2, 3)
    labels = np.arange(12) % 3
    train, test = np.array([9, 1, 2, 3, 4, 5, 6, 7, 8, 0]), np.array([10, 11])
    return DataSet.of("tiny", images, labels, ("a", "b", "c"), train, test)


@pytest.fixture
def save_image(tmp_path: Path) -> Callable[..., Path]:
    """Write an array (H, W) or (H, W, C) as an image file under `tmp_path`; gives its path."""
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

    def save(name: str, pixels: object, **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image_module.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
        return path

    return save
