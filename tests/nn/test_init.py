"""Initialisers: the variances that their papers name, and orthogonality."""

import numpy as np
import pytest

from pycnn import nn
from pycnn.nn import init

SHAPE = (128, 64, 3, 3)  # fan_in 576, fan_out 1152


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he_normal", 2 / 576),
        ("he_uniform", 2 / 576),
        ("xavier_normal", 2 / (576 + 1152)),
        ("xavier_uniform", 2 / (576 + 1152)),
        ("lecun_normal", 1 / 576),
        ("lecun_uniform", 1 / 576),
    ],
)
def test_variance(name, variance):
    drawn = init.initialiser(name)(SHAPE, np.random.default_rng(0)).astype(np.float64)
    assert drawn.mean() == pytest.approx(0, abs=5 * (variance / drawn.size) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=0.02)
    if name.endswith("uniform"):
        assert abs(drawn).max() <= (3 * variance) ** 0.5 * (1 + 1e-6)
    else:
        assert abs(drawn).max() > 3.5 * variance**0.5


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3, 3), (40, 2, 3, 3)])
def test_orthogonal(shape):
    drawn = init.orthogonal(shape, np.random.default_rng(0)).reshape(shape[0], -1)
    small = drawn @ drawn.T if shape[0] <= drawn.shape[1] else drawn.T @ drawn
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-6)


def test_weights_without_a_second_axis_have_no_fans():
    with pytest.raises(ValueError, match=r"shape=\(3,\): fans need two axes at least"):
        init.he_normal((3,), np.random.default_rng(0))


def test_normal_takes_its_deviation():
    drawn = init.normal(0.02)(SHAPE, np.random.default_rng(0))
    assert drawn.std() == pytest.approx(0.02, rel=0.02)


def test_a_seeded_function_begins_anew_at_every_call():
    @nn.seeded(3)
    def drawn():
        return nn.Linear(3, 2).params["weight"]

    np.testing.assert_array_equal(drawn(), drawn())
