"""A perceptron learns what a line can do and no more; two layers do XOR."""

import itertools

import numpy as np
import pytest


@pytest.fixture
def perceptron(example):
    return example("perceptron")


def test_the_example_reaches_its_goal(perceptron, picture, capsys):
    assert perceptron.main(["-o", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "goes round for ever, with at least 4 mistakes a pass" in shown
    assert "on XOR: 0 mistakes" in shown
    assert "perceptron on NOT: no mistake" in shown


def test_neurons_with_fixed_weights(perceptron):
    """The tables of AND, OR, NOT, and of XOR by three of them."""
    points = perceptron.INPUTS
    assert perceptron.fires(points, (1, 1), 2).tolist() == [0, 0, 0, 1]
    assert perceptron.fires(points, (1, 1), 1).tolist() == [0, 1, 1, 1]
    assert perceptron.fires(perceptron.NOT[0], (-1,), 0).tolist() == [1, 0]
    assert perceptron.xor_of_neurons(points).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("targets", "weight", "bias", "mistakes"),
    [
        # Worked by hand: passes over 00, 01, 10, 11 that begin with no weights at all.
        ([0, 1, 1, 1], [1, 1], 0, [1, 2, 1, 0]),
        ([0, 0, 0, 1], [2, 1], -2, [1, 3, 3, 2, 1, 0]),
    ],
    ids=["OR", "AND"],
)
def test_the_learning_rule_step_by_step(perceptron, targets, weight, bias, mistakes):
    learnt = perceptron.perceptron(
        perceptron.INPUTS, np.array(targets, np.float32), 25, 1.0, np.zeros(3)
    )
    assert learnt.weight.tolist() == [weight]
    assert learnt.bias.tolist() == [bias]
    assert learnt.mistakes == mistakes
    assert learnt.solved
    assert learnt.again is None


def test_every_function_of_two_bits_but_xor_and_its_opposite_is_learnt(perceptron):
    never = []
    for targets in itertools.product([0, 1], repeat=4):
        start = np.random.default_rng(targets).uniform(-1, 1, 3)
        learnt = perceptron.perceptron(perceptron.INPUTS, np.array(targets), 200, 0.1, start)
        assert learnt.solved == (learnt.again is None)
        if not learnt.solved:
            never.append(targets)
    assert never == [(0, 1, 1, 0), (1, 0, 0, 1)]


def test_not_by_hand(perceptron):
    """From (0.5, -0.2) at rate 0.25: wrong on both until the weight is below 0 and the bias not."""
    learnt = perceptron.perceptron(*perceptron.NOT, 25, 0.25, np.array([0.5, -0.2]))
    # -0.2 is wrong on 0: (0.5, 0.05), 0.55 on 1: (0.25, -0.2); the same: (0, -0.2); (0, 0.05) and
    # 0.05 on 1: (-0.25, -0.2); (-0.25, 0.05) is right on both.
    np.testing.assert_allclose(learnt.weight, [[-0.25]], atol=1e-6)
    np.testing.assert_allclose(learnt.bias, [0.05], atol=1e-6)
    assert learnt.mistakes == [2, 2, 2, 1, 0]


def test_too_few_steps_miss_the_goal(perceptron, picture):
    assert perceptron.main(["-o", str(picture), "--steps", "1"]) == 1


def test_a_training_step_on_the_emulator(perceptron, agree):
    agree(lambda: perceptron.two_layers(3, 2, seed=0)[0].state_dict())


def test_the_learning_rule_on_the_emulator(perceptron, agree):
    cases = perceptron.INPUTS, perceptron.TARGETS["AND"]
    agree(lambda: {"weight": perceptron.perceptron(*cases, 3, 0.1, np.ones(3)).weight})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "picture.txt"], "allowed: names in .png"),
        (["-o", "no/such/folder/p.png"], "there is no folder"),
        (["--hidden", "0"], "allowed: whole numbers from 1"),
        (["--rate", "0"], "allowed: numbers above 0"),
        (["--seed", "x"], "allowed: whole numbers from 0"),
    ],
)
def test_bad_arguments_are_refused(perceptron, arguments, reason, capsys):
    with pytest.raises(SystemExit):
        perceptron.main(arguments)
    assert reason in capsys.readouterr().err


def test_a_missing_extra_is_named_before_anything_is_computed(perceptron, monkeypatch, capsys):
    monkeypatch.setitem(perceptron.sys.modules, "matplotlib.figure", None)
    assert perceptron.main([]) == 2
    shown = capsys.readouterr()
    assert "[viz]'" in shown.err
    assert shown.out == ""
