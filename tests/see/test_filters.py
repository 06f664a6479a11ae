"""Classic filters, worked by hand."""

import numpy as np
import pytest

from pycnn.data import read_image
from pycnn.see.filters import CLASSIC, filtered, response
from pycnn.see.prepare import image_file

EVEN = np.full((3, 4, 5), 80, np.uint8)
#: One bright pixel: a filter leaves its mirror image around it.
SPOT = np.pad(np.full((1, 1, 1), 10, np.uint8), ((0, 0), (2, 2), (2, 2)))


def test_what_is_even_stays_or_vanishes() -> None:
    for name in ("identity", "sharpen", "blur", "Gaussian", "emboss"):
        assert (filtered(EVEN, name) == EVEN).all(), name
    for name in ("edge", "Laplace", "vertical edge", "horizontal edge", "diagonal edge", "Sobel"):
        assert (filtered(EVEN, name) == 0).all(), name
        assert filtered(EVEN, name).shape == (1, 4, 5)


@pytest.mark.parametrize("name", CLASSIC)
def test_a_spot_shows_the_filter_mirrored(name: str) -> None:
    around = response(SPOT, name)[0, 1:4, 1:4]
    assert around == pytest.approx(10 * np.array(CLASSIC[name])[::-1, ::-1])


def test_a_picture_is_cut_off_at_black_and_white() -> None:
    bright = np.array([[[0, 0, 0], [0, 255, 0], [0, 0, 0]]], np.uint8)
    assert filtered(bright, "sharpen")[0].tolist() == [[0, 0, 0], [0, 255, 0], [0, 0, 0]]
    assert filtered(bright, "edge")[0, 1, 0] == 255  # |-255|
    assert filtered(bright, "blur")[0].tolist() == [[28] * 3] * 3  # 255 / 9 = 28.3


def test_small_changes_are_brightened_until_the_largest_are_white() -> None:
    step = np.full((1, 20, 20), 100, np.uint8)
    step[0, :, 10:] = 120  # Laplace makes 20 of it on either side, blur nothing new
    assert filtered(step, "Laplace")[0, 5, 8:12].tolist() == [0, 160, 160, 0]  # 8 times at most
    step[0, :, 10:] = 160
    assert filtered(step, "Laplace")[0, 5, 8:12].tolist() == [0, 255, 255, 0]
    assert filtered(step, "blur")[0, 5, 8:12].tolist() == [100, 120, 140, 160]


def test_a_photo_by_laplace_is_not_black() -> None:
    pytest.importorskip("skimage", reason="the photo comes with scikit-image")
    for name in ("edge", "Laplace", "Sobel"):
        assert np.quantile(filtered(read_image(image_file("coffee")), name), 0.98) > 230


def test_a_real_photo_keeps_its_extents() -> None:
    pytest.importorskip("skimage", reason="the photo comes with scikit-image")
    astronaut = read_image(image_file("astronaut"))
    assert astronaut.shape == (3, 512, 512)
    assert filtered(astronaut, "emboss").shape == (3, 512, 512)
    assert filtered(astronaut, "edge").std() > 10


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(ValueError, match="name='sobol': allowed are identity, blur, Gaussian"):
        response(EVEN, "sobol")
    with pytest.raises(FileNotFoundError, match=r"image lena: no such file; nor .*: astronaut"):
        image_file("lena")
    with pytest.raises(ValueError, match=r"photo is float32 of shape \(3, 4, 5\); allowed: uint8"):
        response(EVEN.astype(np.float32), "blur")
