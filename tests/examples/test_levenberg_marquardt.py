"""The method's Jacobian is that of differences, its steps are those of its equation, it fits."""

import numpy as np
import pytest


@pytest.fixture
def lm(example):
    return example("levenberg_marquardt")


def test_the_goal_is_reached_in_fewer_epochs_than_adam_gets(lm, picture, capsys):
    assert lm.main(["-o", str(picture), "--goal", "1e-3", "--epochs", "60"]) == 0
    assert "Adam" in capsys.readouterr().out


def test_the_jacobian_is_that_of_differences(lm):
    model = lm.network(3, seed=1)
    x, _ = lm.points()
    x, row = x[::11], lm.weights(model)
    found, expected = lm.jacobian(model, x), []
    for i in range(len(row)):
        sides = []
        for sign in (1, -1):
            lm.put(model, row + sign * 1e-6 * np.eye(len(row))[i])
            sides.append(model(x)[:, 0])
        expected.append((sides[0] - sides[1]) / 2e-6)
    assert found.shape == (4, 10)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-6, atol=1e-8)


def test_a_linear_problem_takes_steps_that_only_mu_keeps_from_being_one(lm):
    """y = 2 x + 3 by one linear layer: the error falls by (mu / (mu + s))^2 along each axis."""
    from pycnn import nn

    x = np.array([[-1.0], [1.0]])
    model = nn.Linear(1, 1, init="zeros", dtype="float64")
    errors = lm.levenberg_marquardt(model, x, 2 * x + 3, 2, 0.0)
    # J'J = 2 I; mu is 1e-3, then 1e-4: what is left of both weights is mu / (mu + 2).
    left = 1e-3 / 2.001, 1e-3 / 2.001 * 1e-4 / 2.0001
    assert errors == pytest.approx([13, 13 * left[0] ** 2, 13 * left[1] ** 2], rel=1e-6)


def test_too_few_epochs_miss_the_goal(lm, picture):
    assert lm.main(["-o", str(picture), "--epochs", "2"]) == 1


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x"])
def test_a_goal_that_is_no_positive_number_is_refused(lm, text, capsys):
    with pytest.raises(SystemExit):
        lm.main(["--goal", text])
    assert "allowed: numbers above 0" in capsys.readouterr().err
