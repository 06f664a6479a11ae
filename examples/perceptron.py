"""What one neuron can do: McCulloch and Pitts's, Rosenblatt's, and two layers where one is too few.

    pip install -e '.[viz]'
    python examples/perceptron.py -o perceptron.png

The neuron of McCulloch and Pitts has fixed weights and a threshold: it fires if the weighted sum of
its inputs, 0 or 1, reaches it. Someone has to choose them. Rosenblatt's perceptron learns them:
from random weights it says 1 where ``w1 x1 + w2 x2 + b > 0``, on one side of a line, and at each
mistake moves them by ``rate (target - said) x``. Suppose a line did XOR:

    (0, 0) is 0:            b <= 0        (0, 1) is 1:   w2 + b > 0
    (1, 1) is 0:  w1 + w2 + b <= 0        (1, 0) is 1:   w1 + b > 0

The left two add up to ``w1 + w2 + 2b <= 0``, the right two to ``w1 + w2 + 2b > 0``. So there is
none, and the perceptron shows it: one pass over the four points is a function of its weights, and
once a pass begins with weights that an earlier one began with, it goes round for ever.

The exit status is 0 if AND, OR and NOT are learnt, XOR goes round, and two layers learn it.

Sources: W. McCulloch, W. Pitts, "A logical calculus of the ideas immanent in nervous activity",
1943; F. Rosenblatt, "The perceptron", Psychological Review 65, 1958; M. Minsky, S. Papert,
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
#: Of one input: points and targets.
NOT = np.array([[0], [1]], np.float32), np.array([1, 0], np.float32)
PASSES = 100
RATE = 0.1


def fires(inputs: np.ndarray, weights: Sequence[float], threshold: float) -> np.ndarray:
    """The neuron of McCulloch and Pitts: 1 where the weighted sum reaches the threshold.

    >>> fires(INPUTS, (1, 1), 2), fires(INPUTS, (1, 1), 1)  # AND and OR
    (array([0, 0, 0, 1]), array([0, 1, 1, 1]))
    >>> fires(NOT[0], (-1,), 0)
    array([1, 0])
    """
    return (inputs @ np.asarray(weights, np.float32) >= threshold).astype(int)


def xor_of_neurons(inputs: np.ndarray) -> np.ndarray:
    """XOR by three such neurons: "or" without "and"."""
    both = np.stack([fires(inputs, (1, 1), 1), fires(inputs, (1, 1), 2)], axis=1)
    return fires(both, (1, -1), 1)


@dataclass(frozen=True)
class Learnt:
    """What a perceptron came to."""

    weight: np.ndarray  # (1, inputs)
    bias: np.ndarray  # (1,)
    mistakes: list[int]  # of each pass over the points
    again: tuple[int, int] | None  # two passes that begin with the same weights, counted from 1

    @property
    def solved(self) -> bool:
        return self.mistakes[-1] == 0


def perceptron(
    points: np.ndarray, targets: np.ndarray, passes: int, rate: float, start: np.ndarray
) -> Learnt:
    """The learning rule, from the weights and the bias in `start` (inputs + 1,).

    Weights are `start` and a whole number of steps, which is what is counted: a pass that begins
    with the weights of an earlier one is found, however rounding goes.
    """
    steps = np.zeros(len(start), int)
    began: dict[tuple[int, ...], int] = {}
    mistakes: list[int] = []
    again = None

    def weights() -> tuple[np.ndarray, np.ndarray]:
        now = (start + rate * steps).astype(np.float32)
        return now[None, :-1], now[-1:]

    while len(mistakes) < passes and mistakes[-1:] != [0]:
        first = began.setdefault(tuple(steps.tolist()), len(mistakes) + 1)
        if first <= len(mistakes):
            again = (first, len(mistakes) + 1)
            break
        wrong = 0
        for x, target in zip(points, targets, strict=True):
            error = int(target) - int(pycnn.linear(x, *weights())[0] > 0)  # -1, 0 or 1
            steps += error * np.append(x, 1).astype(int)
            wrong += int(error != 0)
        mistakes.append(wrong)
    return Learnt(*weights(), mistakes, again)


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
    parser.add_argument(
        "--rate", type=common.above_zero, default=RATE, help=f"of the rule (default: {RATE})"
    )
    parser.add_argument("--steps", type=common.whole(1), default=400, help="(default: 400)")
    return common.status(example, parser.parse_args(argv))


def example(arguments: argparse.Namespace) -> bool:
    """Train all four, print and draw what came out, and say whether it is as it should be."""
    rng = np.random.default_rng(arguments.seed)
    for name, weights, threshold in (("AND", (1, 1), 2), ("OR", (1, 1), 1)):
        print(f"neuron with weights {weights} and threshold {threshold}: {name}, "
              f"{fires(INPUTS, weights, threshold)}")  # fmt: skip
    print(f"three neurons: XOR, {xor_of_neurons(INPUTS)}")
    cases = {name: (INPUTS, targets) for name, targets in TARGETS.items()} | {"NOT": NOT}
    learnt = {
        name: perceptron(
            points, targets, PASSES, arguments.rate, rng.uniform(-1, 1, points.shape[1] + 1)
        )
        for name, (points, targets) in cases.items()
    }
    for name, one in learnt.items():
        print(f"perceptron on {name}: {_outcome(one)}")
    model, losses = two_layers(arguments.hidden, arguments.steps, arguments.seed)
    print(
        f"two layers, {arguments.hidden} hidden units, on XOR: {mistakes_of(model)} mistakes after "
        f"{arguments.steps} steps, loss {losses[0]:.3f} to {losses[-1]:.4f}"
    )
    draw(learnt, model, arguments)
    impossible = learnt["XOR"].again is not None and not learnt["XOR"].solved
    solved = all(learnt[name].solved for name in ("AND", "OR", "NOT"))
    return solved and impossible and mistakes_of(model) == 0


def _outcome(learnt: Learnt) -> str:
    if learnt.solved:
        terms = [f"{w:+.2f} x{i}" for i, w in enumerate(learnt.weight[0], start=1)]
        line = f"{' '.join(terms)} {learnt.bias[0]:+.2f} = 0"
        return f"no mistake in pass {len(learnt.mistakes)}; it says 1 beyond {line}"
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
    colours = (common.BLUE, common.GREEN, common.ORANGE, common.GREY)
    for (name, one), colour in zip(learnt.items(), colours, strict=True):
        passes = range(1, len(one.mistakes) + 1)
        counts.plot(passes, one.mistakes, ".-", color=colour, label=name)
    counts.legend(frameon=False, fontsize=9)
    common.plain(
        counts, "Mistakes of the perceptron", xlabel="pass over the points", ylim=(-0.2, 4.5)
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
