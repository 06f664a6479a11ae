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
    learnt = perceptron.perceptron(np.array(targets, np.float32), 25)
    assert learnt.weight.tolist() == [weight]
    assert learnt.bias.tolist() == [bias]
    assert learnt.mistakes == mistakes
    assert learnt.solved
    assert learnt.again is None


def test_every_function_of_two_bits_but_xor_and_its_opposite_is_learnt(perceptron):
    never = []
    for targets in itertools.product([0, 1], repeat=4):
        learnt = perceptron.perceptron(np.array(targets, np.float32), 50)
        assert learnt.solved == (learnt.again is None)
        if not learnt.solved:
            never.append(targets)
    assert never == [(0, 1, 1, 0), (1, 0, 0, 1)]


def test_too_few_steps_miss_the_goal(perceptron, picture):
    assert perceptron.main(["-o", str(picture), "--steps", "1"]) == 1


def test_a_training_step_on_the_emulator(perceptron, agree):
    agree(lambda: perceptron.two_layers(3, 2, seed=0)[0].state_dict())


def test_the_learning_rule_on_the_emulator(perceptron, agree):
    agree(lambda: {"weight": perceptron.perceptron(perceptron.TARGETS["AND"], 9).weight})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "picture.txt"], "allowed: names in .png"),
        (["-o", "no/such/folder/p.png"], "there is no folder"),
        (["--hidden", "0"], "allowed: whole numbers from 1"),
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
