"""A deep belief network with label units: what is this digit, and what does a 3 look like?

    pip install -e '.[train,data]'
    python examples/labelled_belief_network.py -o labelled_belief_network.png

Two Boltzmann machines as in `belief_network.py`, but the upper one sees ten label units beside the
hidden units h of the lower one, so that it learns their joint distribution. It answers both ways:

* P(label | observation): with h given, the labels differ in free energy alone,
  ``F(h, label) = -a h - a' label - sum log(1 + exp(W [h, label] + b))``, and their chances are in
  proportion to ``exp(-F)``; nothing is drawn, and nothing approximated but h itself, which is the
  way up.
* P(observation | label): the label units are held, and the upper machine goes to and fro until what
  it shows belongs to the label; the way down makes pixels of it.

The exit status is 0 if nine in ten digits that were not seen are read right, and half of those that
it draws are read as what was asked for by a linear classifier, which has learnt from pixels and
took no part.

Source: G. Hinton, S. Osindero, Y. Teh, "A fast learning algorithm for deep belief nets", Neural
Computation 18, 2006.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np
from belief_network import SIDE, Machine, drawn, learn, shuffled

import pycnn
import pycnn.data
from pycnn import nn

LABELS = 10
READ, ASKED = 0.9, 0.5


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(LABELS, dtype=np.float32)[labels]


def label_chances(top: Machine, hidden: np.ndarray) -> np.ndarray:
    """P(label | hidden), (N, 10): exact, by the free energy of each label."""
    energies = []
    for label in range(LABELS):
        seen = np.concatenate([hidden, np.tile(one_hot(label), (len(hidden), 1))], axis=1)
        pushed = pycnn.linear(seen, top["weight"], top["bias"])
        energies.append(-seen @ top["visible_bias"] - pycnn.softplus(pushed).sum(axis=1))
    return np.asarray(pycnn.softmax(-np.stack(energies, axis=1)))


def observations(
    first: Machine, top: Machine, labels: np.ndarray, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """Chances of pixels (N, visible) drawn from P(observation | label): `steps` to and fro."""
    held = one_hot(labels)
    size = len(top["visible_bias"]) - LABELS
    hidden = drawn(np.full((len(labels), size), 0.5, np.float32), rng)
    for _ in range(steps):
        above = drawn(top(np.concatenate([hidden, held], axis=1)), rng)
        chances = top.down(above)[:, :size]
        hidden = drawn(chances, rng)
    return first.down(chances)


def judge(pixels: np.ndarray, labels: np.ndarray, epochs: int, seed: int) -> nn.Layer:
    """A linear classifier of pixels."""
    model = nn.Linear(pixels.shape[1], LABELS, init="zeros")
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(model, lr=1e-3)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for some in shuffled(len(pixels), rng):
            loss.forward(model.forward(pixels[some]), labels[some])
            model.zero_grad()
            model.backward(loss.backward(), needs_dx=False)
            optimizer.step()
    return model


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "labelled_belief_network.png")
    common.add_counts(
        parser,
        ("hidden", 256, None, "units of each machine"), ("epochs", 20, None, "of each machine"),
        ("digits", 4000, 4000, "to learn from, of 4000"),
        ("steps", 200, None, "to and fro, for each that is drawn"),
    )  # fmt: skip
    return common.status(example, parser.parse_args(argv))


def example(given: argparse.Namespace) -> bool:
    """Train both machines, ask them both ways, print and draw."""
    digits = pycnn.data.load("mnist5k").subset("train", given.digits)
    pixels, unseen = (
        (digits.images[part].reshape(len(part), -1) > 127).astype(np.float32)
        for part in (digits.train, digits.test)
    )
    labels, truth = digits.labels[digits.train], digits.labels[digits.test]
    rng = np.random.default_rng(given.seed)
    with nn.seeded(given.seed):
        first = Machine(SIDE * SIDE, given.hidden)
        top = Machine(given.hidden + LABELS, given.hidden)
    learn(first, pixels, given.epochs, rng, "first machine")
    seen = np.concatenate([first(pixels), one_hot(labels)], axis=1)
    learn(top, seen, given.epochs, rng, "upper machine")
    chances = label_chances(top, first(unseen))
    read = float((chances.argmax(axis=1) == truth).mean())
    print(f"P(label | observation): {read:.1%} of {len(truth)} digits it has not seen")
    asked = np.repeat(np.arange(LABELS), 10)
    made = observations(first, top, asked, given.steps, rng)
    reader = judge(pixels, labels, given.epochs, given.seed)
    right = float((reader(made).argmax(axis=1) == asked).mean())
    print(f"P(observation | label): {right:.0%} of {len(asked)} digits are read as asked for, "
          f"by a linear classifier")  # fmt: skip
    draw(made, unseen, chances, truth, given.output)
    return read >= READ and right >= ASKED


def draw(
    made: np.ndarray, unseen: np.ndarray, chances: np.ndarray, truth: np.ndarray, path: Path
) -> None:
    """Ten drawings of each label; digits, and how probable each label is."""
    figure = common.figure(9, 4.4)
    drawings, answers = figure.subplots(1, 2)
    common.tiles(drawings, made.reshape(-1, SIDE, SIDE), 10, "P(observation | label): 0 to 9")
    chosen = np.array([np.flatnonzero(truth == label)[0] for label in np.unique(truth)])
    answers.imshow(chances[chosen], cmap="Blues", vmin=0, vmax=1)
    answers.set_xticks(range(LABELS))
    answers.set_yticks(range(len(chosen)), [str(truth[i]) for i in chosen])
    answers.set(xlabel="label", ylabel="the digit shown, one of each")
    answers.set_title("P(label | observation)", loc="left", fontsize=10)
    common.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
