"""Folders of images: a sub-folder is a class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pycnn.data import folder

Save = Callable[..., Path]


@pytest.fixture
def pets(save_image: Save, tmp_path: Path) -> Path:
    """Ten dark dogs and five bright cats of 4x6, in colour."""
    for number in range(10):
        save_image(f"pets/dog/{number}.png", np.full((4, 6, 3), number))
    for number in range(5):
        save_image(f"pets/cat/{number}.png", np.full((4, 6, 3), 200 + number))
    return tmp_path / "pets"


def test_classes_are_sub_folders_in_alphabetical_order(pets: Path) -> None:
    data = folder(pets)
    assert repr(data) == "DataSet('pets': 12 to train, 3 to test, each (3, 4, 6); 2 classes)"
    assert data.classes == ("cat", "dog")
    assert ((data.images[:, 0, 0, 0] < 100) == (data.labels == 1)).all()
    assert data.balance("test") == {"cat": 1, "dog": 2}


def test_the_split_is_a_function_of_the_seed(pets: Path) -> None:
    assert folder(pets, seed=1).test.tolist() == folder(pets, seed=1).test.tolist()
    assert len({str(folder(pets, seed=seed).train) for seed in range(4)}) > 1
    assert len(folder(pets, test=0).test) == 0
    assert len(folder(pets, test=0.4).test) == 6


def test_hidden_files_are_passed_over(pets: Path) -> None:
    (pets / "cat" / ".DS_Store").write_bytes(b"x")
    (pets / ".git").mkdir()
    (pets / "notes.txt").write_text("not in a class")
    assert len(folder(pets)) == 15


def test_other_sizes_need_size(pets: Path, save_image: Save) -> None:
    save_image("pets/dog/wide.png", np.zeros((4, 9, 3)))
    with pytest.raises(ValueError, match=r"wide\.png has the shape \(3, 4, 9\) and .*\(3, 4, 6\)"):
        folder(pets)
    assert folder(pets, size=(5, 7)).shape == (3, 5, 7)


def test_grey_among_colours_needs_channels(pets: Path, save_image: Save) -> None:
    save_image("pets/dog/grey.png", np.zeros((4, 6)))
    with pytest.raises(ValueError, match=r"grey\.png has the shape \(1, 4, 6\).*channels="):
        folder(pets)
    assert folder(pets, channels=1).shape == (1, 4, 6)


def test_a_file_that_is_no_image_is_named(pets: Path) -> None:
    (pets / "dog" / "thumbs.db").write_text("x")
    with pytest.raises(ValueError, match=r"dog/thumbs\.db cannot be read as an image"):
        folder(pets)


def test_an_empty_class_is_named(pets: Path) -> None:
    (pets / "emu").mkdir()
    with pytest.raises(ValueError, match="emu is empty; needed: images of the class 'emu'"):
        folder(pets)


def test_a_folder_without_sub_folders_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"the folder {tmp_path} has no sub-folders"):
        folder(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"test": 1.5}, "test=1.5; allowed: 0 to 1"), ({"seed": -1}, "seed=-1; allowed: int >= 0")],
)
def test_bad_settings_are_refused(pets: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folder(pets, **settings)
