"""Rosenblatt's perceptron learns AND and OR, cannot learn XOR, and two layers can.

    pip install -e '.[viz]'
    python examples/perceptron.py -o perceptron.png

A perceptron says 1 where ``w1 x1 + w2 x2 + b > 0``: on one side of a line. Suppose a line did XOR:

    (0, 0) is 0:            b <= 0        (0, 1) is 1:   w2 + b > 0
    (1, 1) is 0:  w1 + w2 + b <= 0        (1, 0) is 1:   w1 + b > 0

The left two add up to ``w1 + w2 + 2b <= 0``, the right two to ``w1 + w2 + 2b > 0``. So there is
none, and the perceptron shows it: one pass over the four points is a function of its weights, and
once a pass begins with weights that an earlier one began with, it goes round for ever.

The exit status is 0 if AND and OR are learnt, XOR goes round, and two layers learn it.

Sources: F. Rosenblatt, "The perceptron", Psychological Review 65, 1958; M. Minsky, S. Papert,
"Perceptrons", 1969; D. Rumelhart, G. Hinton, R. Williams, Nature 323, 1986.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import common
import numpy as np

import pycnn
from pycnn import nn

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
TARGETS = {name: np.array(values, np.float32) for name, values in {
    "AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0],
}.items()}  # fmt: skip
PASSES = 25


@dataclass(frozen=True)
class Learnt:
    """What a perceptron came to."""

    weight: np.ndarray  # (1, 2)
    bias: np.ndarray  # (1,)
    mistakes: list[int]  # of each pass over the four points
    again: tuple[int, int] | None  # two passes that begin with the same weights, counted from 1

    @property
    def solved(self) -> bool:
        return self.mistakes[-1] == 0


def perceptron(targets: np.ndarray, passes: int) -> Learnt:
    """The learning rule: at each mistake, add the point to the weights, or take it off."""
    weight, bias = np.zeros((1, 2), np.float32), np.zeros(1, np.float32)
    began: dict[tuple[float, ...], int] = {}
    mistakes: list[int] = []
    again = None
    while len(mistakes) < passes and mistakes[-1:] != [0]:
        first = began.setdefault((*weight[0].tolist(), float(bias[0])), len(mistakes) + 1)
        if again is None and first <= len(mistakes):
            again = (first, len(mistakes) + 1)
        wrong = 0
        for x, target in zip(INPUTS, targets, strict=True):
            error = target - (pycnn.linear(x, weight, bias) > 0)  # -1, 0 or 1
            weight += error * x
            bias += error
            wrong += int(error[0] != 0)
        mistakes.append(wrong)
    return Learnt(weight, bias, mistakes, again)


def two_layers(hidden: int, steps: int, seed: int) -> tuple[nn.Sequential, list[float]]:
    """A network with one hidden layer, trained on XOR, and its loss at each step."""
    with nn.seeded(seed):
        model = nn.Sequential(
            nn.Linear(2, hidden, init="xavier_normal"), nn.Tanh(), nn.Linear(hidden, 1)
        )
    loss, optimizer = nn.BCEWithLogitsLoss(), nn.Adam(model, lr=0.05)
    losses = []
    for _ in range(steps):
        losses.append(float(loss.forward(model.forward(INPUTS), TARGETS["XOR"][:, None])))
        model.zero_grad()
        model.backward(loss.backward(), needs_dx=False)
        optimizer.step()
    return model, losses


def mistakes_of(model: nn.Layer) -> int:
    """Points of XOR that a network gets wrong."""
    return int(((model(INPUTS)[:, 0] > 0) != TARGETS["XOR"]).sum())


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "perceptron.png")
    parser.add_argument("--hidden", type=common.whole(1), default=4, help="units (default: 4)")
    parser.add_argument("--steps", type=common.whole(1), default=400, help="(default: 400)")
    return common.status(example, parser.parse_args(argv))


def example(arguments: argparse.Namespace) -> bool:
    """Train all four, print and draw what came out, and say whether it is as it should be."""
    learnt = {name: perceptron(targets, PASSES) for name, targets in TARGETS.items()}
    for name, one in learnt.items():
        print(f"perceptron on {name}: {_outcome(one)}")
    model, losses = two_layers(arguments.hidden, arguments.steps, arguments.seed)
    print(
        f"two layers, {arguments.hidden} hidden units, on XOR: {mistakes_of(model)} mistakes after "
        f"{arguments.steps} steps, loss {losses[0]:.3f} to {losses[-1]:.4f}"
    )
    draw(learnt, model, arguments)
    impossible = learnt["XOR"].again is not None and not learnt["XOR"].solved
    return learnt["AND"].solved and learnt["OR"].solved and impossible and mistakes_of(model) == 0


def _outcome(learnt: Learnt) -> str:
    (w1, w2), b = learnt.weight[0], learnt.bias[0]
    if learnt.solved:
        line = f"{w1:g} x1 {w2:+g} x2 {b:+g} = 0"
        return f"no mistake in pass {len(learnt.mistakes)}; the line is {line}"
    if learnt.again is None:
        return f"{learnt.mistakes[-1]} mistakes in pass {len(learnt.mistakes)}"
    first, second = learnt.again
    fewest = min(learnt.mistakes[first - 1 :])
    return (
        f"pass {second} begins with the weights of pass {first}, so it goes round for ever, "
        f"with at least {fewest} mistakes a pass"
    )


def draw(learnt: dict[str, Learnt], model: nn.Layer, arguments: argparse.Namespace) -> None:
    """The lines of AND and OR, the mistakes on XOR, and where two layers say 1."""
    figure = common.figure(12, 3.5)
    lines_and, lines_or, counts, region = figure.subplots(1, 4)
    for axes, name in ((lines_and, "AND"), (lines_or, "OR")):
        one = learnt[name]
        _regions(axes, lambda x, one=one: pycnn.linear(x, one.weight, one.bias))
        _points(axes, TARGETS[name], f"{name}: a line does it")
    for (name, one), colour in zip(
        learnt.items(), (common.BLUE, common.GREEN, common.ORANGE), strict=True
    ):
        passes = range(1, len(one.mistakes) + 1)
        counts.plot(passes, one.mistakes, ".-", color=colour, label=name)
    counts.legend(frameon=False, fontsize=9)
    common.plain(
        counts, "Mistakes of the perceptron", xlabel="pass over the four points", ylim=(-0.2, 4.5)
    )
    _regions(region, model)
    _points(region, TARGETS["XOR"], f"XOR: {arguments.hidden} hidden units do it")
    figure.supxlabel(
        "black: should be 1; shaded: the network says 1; on the line itself it says 0",
        fontsize=9, color=common.GREY,
    )  # fmt: skip
    common.save(figure, arguments.output)


def _regions(axes: Any, score: Any) -> None:
    """Where `score` is positive, and the line between."""
    side = np.linspace(-0.5, 1.5, 201, dtype=np.float32)
    x1, x2 = np.meshgrid(side, side)
    scores = score(np.stack([x1.ravel(), x2.ravel()], axis=1)).reshape(x1.shape)
    axes.contourf(x1, x2, scores, levels=[-np.inf, 0, np.inf], colors=["white", "#cfe3f1"])
    axes.contour(x1, x2, scores, levels=[0], colors=[common.BLUE], linewidths=1.5)


def _points(axes: Any, targets: np.ndarray, title: str) -> None:
    axes.scatter(
        *INPUTS.T, c=targets, cmap="binary", vmin=0, vmax=1, s=90, edgecolor="black", zorder=3
    )
    common.plain(axes, title, xlabel="x1", ylabel="x2", xticks=[0, 1], yticks=[0, 1])
    axes.set_aspect("equal")


if __name__ == "__main__":
    sys.exit(main())
