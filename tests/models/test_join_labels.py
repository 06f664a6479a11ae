"""Labels joined to the inputs of the conditional DCGAN."""

import numpy as np
import pytest

from pycnn.models import create, join_labels


def test_vectors_get_a_one_in_the_place_of_the_label():
    joined = join_labels(np.full((2, 3), 7, np.float32), np.array([1, 0]), 2)
    assert joined.tolist() == [[7, 7, 7, 0, 1], [7, 7, 7, 1, 0]]
    assert joined.dtype == np.float32


def test_images_get_a_plane_for_each_class():
    joined = join_labels(np.full((2, 1, 2, 3), 7.0), np.array([2, 0]), 3)
    assert joined.shape == (2, 4, 2, 3)
    assert joined[:, :, 1, 2].tolist() == [[7, 0, 0, 1], [7, 1, 0, 0]]
    assert (joined == joined[:, :, :1, :1]).all()


def test_generator_and_discriminator_fit_together():
    labels = np.arange(4) % 3
    generator = create("conditional_dcgan_generator", input_shape=(5 + 3,), width=0.05)
    discriminator = create(
        "conditional_dcgan_discriminator", input_shape=(1 + 3, 28, 28), width=0.05
    )
    noise = np.random.default_rng(0).standard_normal((4, 5), dtype=np.float32)
    images = generator(join_labels(noise, labels, 3))
    assert images.shape == (4, 1, 28, 28)
    assert np.abs(images).max() <= 1
    assert discriminator(join_labels(images, labels, 3)).shape == (4, 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], r"labels has shape \(2,\); allowed: \(3,\)"), ([0, 1, 3], "labels are 0 to 3; allo"),
     ([-1, 0, 0], "labels are -1 to 0; allowed are 0 to 2")],
)  # fmt: skip
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        join_labels(np.zeros((3, 2)), np.array(labels), 3)
