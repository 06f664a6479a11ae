"""Losses as layers: gradients against finite differences, order of calls."""

import numpy as np
import pytest

import pycnn
from pycnn import nn

RNG = np.random.default_rng(5)
CLASSES = np.array([2, 0, 3, 1, 1])
LOSSES = {
    "cross entropy": (nn.CrossEntropyLoss(label_smoothing=0.1), CLASSES),
    "negative log-likelihood": (nn.NLLLoss(reduction="sum"), CLASSES),
    "binary cross entropy": (nn.BCEWithLogitsLoss(), RNG.random((5, 4))),
    "mean of squares": (nn.MSELoss(), RNG.standard_normal((5, 4))),
    "distances": (nn.L1Loss(), RNG.standard_normal((5, 4))),
    "smooth distances": (nn.SmoothL1Loss(beta=0.7), RNG.standard_normal((5, 4))),
    "bounded squares": (nn.HuberLoss("sum", delta=0.7), RNG.standard_normal((5, 4))),
    "divergence": (nn.KLDivLoss("batchmean"), RNG.random((5, 4))),
    "half squares": (nn.SumOfHalfSquares(), RNG.standard_normal((5, 4))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_slopes(name):
    loss, target = LOSSES[name]
    x = RNG.standard_normal((5, 4))
    direction = RNG.standard_normal(x.shape)
    loss.forward(x, target)
    gradient = loss.backward()
    above, below = (float(loss(x + h * direction, target)) for h in (1e-6, -1e-6))
    assert float((gradient * direction).sum()) == pytest.approx((above - below) / 2e-6, rel=1e-6)


def test_slope_of_probabilities():
    loss, target = nn.BCELoss(RNG.random(4)), RNG.random((5, 4))
    x, direction = 0.1 + 0.8 * RNG.random((5, 4)), RNG.standard_normal((5, 4))
    loss.forward(x, target)
    gradient = loss.backward()
    above, below = (float(loss(x + h * direction, target)) for h in (1e-6, -1e-6))
    assert float((gradient * direction).sum()) == pytest.approx((above - below) / 2e-6, rel=1e-6)


def test_backward_without_forward():
    with pytest.raises(ValueError, match="MSELoss: backward without a forward before it"):
        nn.MSELoss().backward()


class Power(nn.Loss):
    """Of an operation that pycnn has not."""

    @staticmethod
    def operation(x, target, exponent, reduction):
        away = x - target
        return {"sum": pycnn.sum, "mean": pycnn.mean}[reduction](away * away) * exponent


class Sure(nn.CrossEntropyLoss):
    def __init__(self, share):
        super().__init__(label_smoothing=share)


def test_losses_of_ones_own():
    loss = Power(exponent=3.0, reduction="sum")
    assert loss.settings == {"exponent": 3.0, "reduction": "sum"}
    assert loss.forward(np.ones(2), np.zeros(2)) == 6.0
    np.testing.assert_array_equal(loss.backward(), [6.0, 6.0])
    with pytest.raises(ValueError, match="reduction='most'; allowed"):
        Power(reduction="most")
    assert Sure(0.2).settings["label_smoothing"] == 0.2
    assert Sure(0.2)(np.zeros((1, 4)), np.array([2])) == pytest.approx(np.log(4))
    with pytest.raises(TypeError, match=r"MSELoss\(reduction: str = 'mean'\): .*'size'"):
        nn.MSELoss(size=3)
