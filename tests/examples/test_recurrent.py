"""Back-propagation through time is right, carries on from window to window, and learns."""

import math

import numpy as np
import pytest

from pycnn import nn


@pytest.fixture
def recurrent(example):
    return example("recurrent")


def _small(recurrent, dtype):
    with nn.seeded(3):
        model = nn.Sequential(
            memory=recurrent.Elman(4, 3, dtype), scores=nn.Linear(3, 4, dtype=dtype)
        )
    for parameter in model.parameters():
        parameter.value[...] += 0.1  # no zero biases
    return model


def test_gradients_through_time_are_those_of_finite_differences(recurrent, rng):
    model, loss = _small(recurrent, "float64"), nn.SumOfHalfSquares()
    x, target = rng.standard_normal((2, 6, 2, 4))
    model.at("memory").state = rng.standard_normal((2, 3))
    loss.forward(model.forward(x), target)
    dx = model.backward(loss.backward())
    checked = [(p.name, p.value, p.grad) for p in model.parameters()] + [("x", x, dx)]
    for name, values, grad in checked:
        for place in np.ndindex(values.shape):
            kept, sides = values[place], []
            for step in (1e-5, -1e-5):
                values[place] = kept + step
                sides.append(float(loss(model(x), target)))
            values[place] = kept
            slope = (sides[0] - sides[1]) / 2e-5
            assert grad[place] == pytest.approx(slope, rel=1e-6, abs=1e-7), f"{name}{place}"


def test_the_states_are_those_of_the_recurrence(recurrent):
    memory = recurrent.Elman(1, 1, "float64")
    for name, value in (("into", 2.0), ("round", -0.5), ("bias", 0.25)):
        memory.params[name][...] = value
    first = math.tanh(2.0 * 0.3 + 0.25)
    second = math.tanh(2.0 * -1.0 - 0.5 * first + 0.25)
    found = memory(np.array([[[0.3]], [[-1.0]]]))
    np.testing.assert_allclose(found.ravel(), [first, second], rtol=1e-14)


def test_two_windows_are_as_one_where_the_state_goes_on(recurrent, rng):
    memory, x = recurrent.Elman(4, 3, "float64"), rng.standard_normal((7, 2, 4))
    whole = memory(x)
    first = memory(x[:3])
    memory.state = memory.after
    np.testing.assert_allclose(np.concatenate([first, memory(x[3:])]), whole, rtol=1e-14)


def test_the_gradient_halves_each_step_where_the_recurrent_weights_do(recurrent):
    memory = recurrent.Elman(1, 2, "float64")
    memory.params["into"][...] = 0
    memory.params["round"][...] = 0.5 * np.eye(2)
    memory.forward(np.zeros((5, 1, 1)))  # all sums are 0, where tanh has slope 1
    dy = np.zeros((5, 1, 2))
    dy[-1] = 3.0, 4.0
    memory.backward(dy)
    assert memory.flow == pytest.approx([5 / 16, 5 / 8, 5 / 4, 5 / 2, 5])


def test_windows_run_along_each_stream(recurrent):
    found = list(recurrent.windows(np.arange(9), streams=2, steps=3))
    assert [x.tolist() for x, _ in found] == [[[0, 4], [1, 5], [2, 6]], [[3, 7]]]
    assert [y.tolist() for _, y in found] == [[[1, 5], [2, 6], [3, 7]], [[4, 8]]]


def test_bits_by_pairs_is_the_conditional_entropy(recurrent):
    # After 0 come 0, 1, 0, 1 (a bit each), after 1 always 0: 4 bits over 6 pairs; worked by hand.
    codes = np.array([0, 0, 1, 0, 0, 1, 0])
    counts = recurrent.pairs(codes, 2)
    assert counts.tolist() == [[2, 2], [2, 0]]
    assert recurrent.bits_by_pairs(codes, counts) == pytest.approx(4 / 6)


def test_it_learns_what_needs_a_memory(recurrent):
    """aabaabaab...: after an a, only a memory tells what follows."""
    codes = np.array([0, 0, 1] * 70)
    assert recurrent.bits_by_pairs(codes, recurrent.pairs(codes, 2)) > 0.6
    reader = recurrent.Reader(recurrent.network(2, 8, seed=0), 2, lr=1e-2)
    for _ in range(20):
        reader.epoch(codes, streams=4, steps=10)
    assert reader.bits(codes) < 0.1


def test_a_short_run_of_the_example(recurrent, picture, capsys):
    arguments = ["-o", str(picture), "--characters", "1500", "--units", "32", "--epochs", "2"]
    assert recurrent.main(arguments) == 1  # two epochs are far too few, and it says so
    assert "recurrent network, 32 units" in capsys.readouterr().out


def test_a_training_step_on_the_emulator(recurrent, agree, rng):
    x, y = rng.integers(0, 5, (2, 4, 3))

    def step():
        reader = recurrent.Reader(recurrent.network(5, 6, seed=0), 5)
        reader.step(x, y)
        return reader.model.state_dict()

    agree(step)


def test_too_short_a_text_is_refused(recurrent, capsys):
    with pytest.raises(SystemExit):
        recurrent.main(["--characters", "999"])
    assert "allowed: whole numbers from 1000" in capsys.readouterr().err
