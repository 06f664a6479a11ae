"""Folders of images: one sub-folder for each class."""

from pathlib import Path

import numpy as np

from pycnn.data.dataset import DataSet
from pycnn.data.image import read_image
from pycnn.data.order import split
from pycnn.define.validate import integer, number


def folder(
    path: Path | str,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    test: float = 0.2,
    seed: int = 0,
) -> DataSet:
    """The images in a folder that has a sub-folder for each class, named like it.

    Every file of a sub-folder has to be an image; names that begin with a dot are passed over.
    All images are held in memory.

    Parameters
    ----------
    path : Path or str
    size, channels : optional
        As for `read_image`. Needed if the images differ in it.
    test : float, default 0.2
        Share of every class that is for testing, rounded to whole images.
    seed : int, default 0
        Which ones, and in what order, is a function of it.

    Returns
    -------
    DataSet
        Its name is that of the folder, its classes are the sub-folders in alphabetical order.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If there are no sub-folders, one is empty, a file is not an image, or images differ in size
        or channels and `size` or `channels` is not given; names the folder or file.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory(suffix="colours") as root:
    ...     for colour in ("red", "blue"):
    ...         (Path(root) / colour).mkdir()
    ...         for number in range(5):
    ...             Image.new("RGB", (8, 8), colour).save(f"{root}/{colour}/{number}.png")
    ...     data = folder(root)
    >>> data.shape, data.classes, len(data.train), len(data.test)
    ((3, 8, 8), ('blue', 'red'), 8, 2)
    """
    number("test", test, 0, 1)
    integer("seed", seed, 0, None)
    path = Path(path)
    files = {name: _visible(path / name) for name in _classes(path)}
    images = _read_all([file for of_class in files.values() for file in of_class], size, channels)
    labels = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files.values()])
    train, tests = split(labels, test, seed)
    return DataSet.of(path.resolve().name, images, labels, tuple(files), train, tests)


def _classes(path: Path) -> list[str]:
    names = [entry.name for entry in _visible(path, or_empty=True) if entry.is_dir()]
    if not names:
        raise ValueError(f"the folder {path} has no sub-folders; needed: one for each class")
    return names


def _visible(path: Path, or_empty: bool = False) -> list[Path]:
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if not entries and not or_empty:
        raise ValueError(f"the folder {path} is empty; needed: images of the class {path.name!r}")
    return entries


def _read_all(
    files: list[Path], size: int | tuple[int, int] | None, channels: int | None
) -> np.ndarray:
    first = read_image(files[0], size, channels)
    images = np.empty((len(files), *first.shape), np.uint8)
    for place, file in zip(images, files, strict=True):
        image = read_image(file, size, channels)
        if image.shape != first.shape:
            raise ValueError(
                f"{file} has the shape {image.shape} and {files[0]} {first.shape}; "
                "give size= to scale all images, channels= to make all grey (1) or RGB (3)"
            )
        place[:] = image
    return images
