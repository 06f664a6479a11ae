"""A restricted Boltzmann machine, and two of them stacked to a deep belief network, on real digits.

    pip install -e '.[train,data]'
    python examples/belief_network.py -o belief_network.png

A machine joins visible units v and hidden units h, all 0 or 1, with ``p(h | v) = sigmoid(W v + b)``
and ``p(v | h) = sigmoid(W' h + a)``. It learns without labels, by contrastive divergence: what is
seen together in the data is made likelier, what is seen together in the machine's own
reconstruction of it less likely. The second machine learns from the hidden units of the first.

The exit status is 0 if both machines reconstruct better than they began, and a linear classifier
on the features of a machine beats one that sees the pixels.

Sources: G. Hinton, "Training products of experts by minimizing contrastive divergence", Neural
Computation 14, 2002; G. Hinton, S. Osindero, Y. Teh, "A fast learning algorithm for deep belief
nets", Neural Computation 18, 2006; G. Hinton, "A practical guide to training restricted Boltzmann
machines", 2010 (the settings; section 11: units that are seldom on).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

import pycnn
import pycnn.data
from pycnn import nn
from pycnn.nn import init

SIDE = 28
BATCH = 50
#: Of the examples, in which a hidden unit is to be on.
SHARE = 0.1


class Machine(nn.Layer):
    """A restricted Boltzmann machine; as a layer, the chances of its hidden units (N, hidden).

    `contrast` puts into `grads` what an optimiser of `pycnn.nn` then follows downhill.
    """

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.params["weight"] = init.weights((hidden, visible), init.normal(0.01), "float32")
        self.params["bias"] = init.constant((hidden,), 0.0, "float32")
        self.params["visible_bias"] = init.constant((visible,), 0.0, "float32")

    def compute(self, x: Any) -> Any:
        return pycnn.linear(x, self["weight"], self["bias"], activation="sigmoid")

    def down(self, hidden: np.ndarray) -> np.ndarray:
        """The chances of the visible units (N, visible)."""
        return pycnn.linear(hidden, self["weight"].T, self["visible_bias"], activation="sigmoid")

    def start(self, data: np.ndarray) -> None:
        """Visible biases that give every unit, without any hidden one, its share of the data."""
        share = data.mean(axis=0).clip(0.01, 0.99)
        self.params["visible_bias"][...] = np.log(share / (1 - share))

    def contrast(self, seen: np.ndarray, rng: np.random.Generator) -> None:
        """One step of contrastive divergence (CD-1) from what is seen, (N, visible)."""
        hidden = self(seen)
        imagined = self.down(drawn(hidden, rng))
        again = self(imagined)
        together = pycnn.gemm(hidden, seen, transpose_a=True)
        apart = pycnn.gemm(again, imagined, transpose_a=True)
        self.grads = {
            "weight": (apart - together) / len(seen),
            "bias": (again - hidden).mean(axis=0),
            "visible_bias": (imagined - seen).mean(axis=0),
        }

    def spare(self, seen: np.ndarray, share: float) -> None:
        """Add to `grads` what brings the mean of every hidden unit nearer to `share`.

        Units that are seldom on come to stand for something: a stroke, not a bit of everything.
        """
        over = self(seen).mean(axis=0) - share
        self.grads["weight"] += over[:, None] * seen.mean(axis=0)
        self.grads["bias"] += over

    def error(self, seen: np.ndarray) -> float:
        """Mean squared difference between what is seen and its reconstruction."""
        return float(pycnn.mse_loss(self.down(self(seen)), seen))


def drawn(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Units that are 1 with the given chances, and 0 otherwise."""
    return (rng.random(chances.shape, np.float32) < chances).astype(np.float32)


def shuffled(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices of one epoch in batches."""
    order = rng.permutation(count)
    for begin in range(0, count, BATCH):
        yield order[begin : begin + BATCH]


def learn(
    machine: Machine,
    data: np.ndarray,
    epochs: int,
    rng: np.random.Generator,
    title: str,
    share: float | None = None,
) -> list[float]:
    """Train a machine; its reconstruction error before, and after each epoch.

    With a `share`, hidden units learn to be on in that share of the examples.
    """
    machine.start(data)
    optimizer = nn.SGD(machine, lr=0.1, momentum=0.5, weight_decay=2e-4)
    errors = [machine.error(data)]
    for _ in common.track(range(epochs), title):
        for some in shuffled(len(data), rng):
            machine.contrast(data[some], rng)
            if share is not None:
                machine.spare(data[some], share)
            optimizer.step()
        errors.append(machine.error(data))
    return errors


def dream(
    stack: Sequence[Machine], seen: np.ndarray, steps: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
    """Chances of the pixels (N, len(steps), visible) while the top machine goes on by itself.

    From what is seen, (N, visible), up; then to and fro between the two layers of the top machine;
    after each number of `steps` the way down shows where it is. Zero steps are just up and down.
    """
    *below, top = stack
    for machine in below:
        seen = drawn(machine(seen), rng)
    shown = []
    for step in range(max(steps) + 1):
        hidden = drawn(top(seen), rng)
        chances = top.down(hidden)
        seen = drawn(chances, rng)
        if step in steps:
            shown.append(_downwards(below, chances))
    return np.stack(shown, axis=1)


def _downwards(machines: Sequence[Machine], seen: np.ndarray) -> np.ndarray:
    for machine in reversed(machines):
        seen = machine.down(seen)
    return seen


def linear_accuracy(
    features: np.ndarray, labels: np.ndarray, train: int, epochs: int, seed: int
) -> float:
    """Share of the rows after the first `train` that a linear softmax classifier gets right."""
    rng = np.random.default_rng(seed)
    model = nn.Linear(features.shape[1], 10, init="zeros")
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(model, lr=1e-3)
    for _ in range(epochs):
        for some in shuffled(train, rng):
            loss.forward(model.forward(features[some]), labels[some])
            model.zero_grad()
            model.backward(loss.backward(), needs_dx=False)
            optimizer.step()
    return float((model(features[train:]).argmax(axis=1) == labels[train:]).mean())


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "belief_network.png")
    common.add_counts(
        parser,
        ("hidden", 256, None, "units of each machine"), ("epochs", 20, None, "of each machine"),
        ("digits", 4000, 4000, "to learn from, of 4000"),
    )  # fmt: skip
    return common.status(example, parser.parse_args(argv))


def example(arguments: argparse.Namespace) -> bool:
    """Train both machines and three classifiers, print and draw."""
    digits = pycnn.data.load("mnist5k")
    digits = digits.subset("train", arguments.digits)
    order = np.concatenate([digits.train, digits.test])
    pixels = (digits.images[order].reshape(len(order), -1) > 127).astype(np.float32)
    labels, train = digits.labels[order], len(digits.train)
    rng = np.random.default_rng(arguments.seed)
    with nn.seeded(arguments.seed):
        first = Machine(SIDE * SIDE, arguments.hidden)
        second = Machine(arguments.hidden, arguments.hidden)
    features, better = {"pixels": pixels}, True
    for name, machine in (("first machine", first), ("second machine", second)):
        below = list(features.values())[-1]
        errors = learn(machine, below[:train], arguments.epochs, rng, name, SHARE)
        better = better and errors[-1] < errors[0]
        features[f"hidden units of the {name}"] = machine(below)
        print(f"{name}: reconstruction error {errors[0]:.4f} to {errors[-1]:.4f}, "
              f"{machine.error(below[train:]):.4f} on digits it has not seen")  # fmt: skip
    print(f"a linear classifier, {train} digits to learn, right on {len(order) - train} others")
    accuracies = []
    for name, values in features.items():
        accuracies.append(linear_accuracy(values, labels, train, arguments.epochs, arguments.seed))
        print(f"  from the {name:<35}{accuracies[-1]:.1%}")
    draw([first, second], pixels[train:], rng, arguments.output)
    return better and max(accuracies[1:]) > accuracies[0]


def draw(
    stack: Sequence[Machine], unseen: np.ndarray, rng: np.random.Generator, path: Path
) -> None:
    """Filters, reconstructions of digits that were not seen, and what the network dreams."""
    first, second = stack
    figure = common.figure(9, 5)
    filters, mirrored, dreamt = figure.subplots(1, 3)
    weights = first["weight"][:40]
    scaled = 0.5 + weights / (2 * np.abs(weights).max(axis=1, keepdims=True))
    common.tiles(filters, _images(scaled), 5, "What hidden units look for")
    once = first.down(first(unseen[:20]))
    twice = first.down(second.down(second(first(unseen[:20]))))
    triples = np.stack([unseen[:20], once, twice], axis=1)
    common.tiles(mirrored, _images(triples), 6, "Unseen digits, by one machine, by two")
    dreams = dream(stack, unseen[:10], (0, 10, 100, 1000), rng)
    chains = np.concatenate([unseen[:10, None], dreams], axis=1)
    common.tiles(dreamt, _images(chains), 5, "Dreamt: 0, 10, 100, 1000 steps on")
    common.save(figure, path)


def _images(rows: np.ndarray) -> np.ndarray:
    """Rows of pixels, however stacked, as images."""
    return rows.reshape(-1, SIDE, SIDE)


if __name__ == "__main__":
    sys.exit(main())
