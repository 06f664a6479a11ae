"""A recurrent network learns to write a licence by back-propagation through time.

    pip install -e '.[train]'
    python examples/recurrent.py -o recurrent.png

Elman's network keeps a state, ``h[t] = tanh(W x[t] + U h[t-1] + b)``, from which it predicts the
next character. `Elman` below unrolls that over time, forwards and backwards.

Does it remember? Whatever predicts from the last character alone can at best know how often each
character follows each other one, which leaves the conditional entropy of the text. The exit status
is 0 if the network needs fewer bits a character than that on the text it was shown. Of ten thousand
characters it learns much by heart: the part that was held out is printed and drawn as well.

How far back can it learn? The gradient of a prediction for an earlier state passes through U once a
character. U begins orthogonal and keeps its length; half as large a U leaves a thousandth of it
after ten characters, and what stood there cannot be learnt from.

Sources: J. Elman, "Finding structure in time", Cognitive Science 14, 1990; P. Werbos,
"Backpropagation through time", 1990; Y. Bengio, P. Simard, P. Frasconi, "Learning long-term
dependencies with gradient descent is difficult", 1994 (why gradients vanish).
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

import pycnn
from pycnn import nn
from pycnn.nn import init
from pycnn.tape import plain

TEXT = Path(__file__).resolve().parents[1] / "LICENSE"
LEAST = 1000  # characters; fewer are too few to hold some out
SHOWN = 0.9  # of the text; the rest is held out
STREAMS, STEPS = 16, 32  # pieces of the text read at once, characters unrolled at once


class Elman(nn.Layer):
    """Input (T, B, inputs) to the states (T, B, units) of Elman's network.

    It begins with `state`, which is None for zeros; `after` is the one it ended with.
    `flow[t]` is the norm of the gradient that the last `backward` found for the state at t.
    """

    def __init__(self, inputs: int, units: int, dtype: str = "float32") -> None:
        super().__init__()
        self.params["into"] = init.weights((units, inputs), "xavier_normal", dtype)
        self.params["round"] = init.weights((units, units), "orthogonal", dtype)
        self.params["bias"] = init.constant((units,), 0.0, dtype)
        self.state: Any = None
        self.after: Any = None
        self.flow: list[float] = []

    def compute(self, x: Any) -> Any:
        driven = pycnn.linear(x, self["into"], self["bias"])  # for all times at once
        state = self.state
        if state is None:
            state = np.zeros(driven.shape[1:], driven.dtype)
        states = []
        self.flow = []
        for drive in pycnn.split(driven, 1):
            recalled = pycnn.linear(state.reshape(drive.shape), self["round"])
            state = self.passing(pycnn.tanh(pycnn.add(drive, recalled)))
            states.append(state)
        self.after = plain(state)[0]
        return pycnn.concat(states)

    @property
    def passing(self) -> Any:
        """A function that changes nothing, and on the way back notes how strong a gradient is."""

        @pycnn.custom_gradient
        def unchanged(state: Any) -> Any:
            return state, noted

        def noted(dstate: Any) -> Any:
            self.flow.insert(0, float(np.linalg.norm(dstate)))
            return dstate

        return unchanged


def network(characters: int, units: int, seed: int) -> nn.Sequential:
    """States, and scores of the next character from each."""
    with nn.seeded(seed):
        return nn.Sequential(
            memory=Elman(characters, units),
            scores=nn.Linear(units, characters, init="xavier_normal"),
        )


def windows(codes: np.ndarray, streams: int, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(characters, those that follow), each (T, B): B pieces of the text, `steps` at a time."""
    length = (len(codes) - 1) // streams
    x = codes[: length * streams].reshape(streams, length).T
    y = codes[1 : length * streams + 1].reshape(streams, length).T
    for begin in range(0, length, steps):
        yield x[begin : begin + steps], y[begin : begin + steps]


class Reader:
    """Trains a network on a text, a window at a time."""

    def __init__(self, model: nn.Sequential, characters: int, lr: float = 3e-3) -> None:
        self.model, self.characters = model, characters
        self.memory: Any = model.at("memory")
        self.loss, self.optimizer = nn.CrossEntropyLoss(), nn.Adam(model, lr=lr)

    def one_hot(self, codes: np.ndarray) -> np.ndarray:
        return np.eye(self.characters, dtype=np.float32)[codes]

    def epoch(self, codes: np.ndarray, streams: int = STREAMS, steps: int = STEPS) -> None:
        """Train on the whole text once."""
        self.memory.state = None
        for x, y in windows(codes, streams, steps):
            self.step(x, y)
            self.memory.state = self.memory.after  # the gradient stops here, the state goes on

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One step on one window, beginning with the state of the one before."""
        scores = self.model.forward(self.one_hot(x))
        self.loss.forward(scores.reshape(-1, self.characters), y.reshape(-1))
        self.model.zero_grad()
        self.model.backward(self.loss.backward().reshape(scores.shape), needs_dx=False)
        nn.clip_grad_norm(self.model, 1.0)
        self.optimizer.step()

    def bits(self, codes: np.ndarray) -> float:
        """Bits a character needs, read in one go from the beginning."""
        self.memory.state = None
        scores = self.model(self.one_hot(codes[:-1, None]))
        return float(self.loss(scores[:, 0], codes[1:])) / math.log(2)

    def flow(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Norm of the gradient of the last prediction's loss for the state at each time."""
        self.memory.state = None
        scores = self.model.forward(self.one_hot(x))
        self.loss.forward(scores[-1], y[-1])
        dscores = np.zeros_like(scores)
        dscores[-1] = self.loss.backward()
        self.model.backward(dscores, needs_dx=False)
        self.model.zero_grad()
        return np.array(self.memory.flow)

    def write(self, begin: np.ndarray, length: int, rng: np.random.Generator) -> list[int]:
        """Characters drawn one by one, each from what the network says after those before."""
        self.memory.state, x, written = None, begin[:, None], []
        for _ in range(length):
            scores = self.model(self.one_hot(x))[-1, 0]
            self.memory.state = self.memory.after
            chances = pycnn.softmax(scores).astype(np.float64)
            written.append(int(rng.choice(self.characters, p=chances / chances.sum())))
            x = np.array([[written[-1]]])
        return written


def pairs(codes: np.ndarray, characters: int) -> np.ndarray:
    """How often each character (columns) follows each other one (rows)."""
    counts = np.zeros((characters, characters))
    np.add.at(counts, (codes[:-1], codes[1:]), 1)
    return counts


def bits_by_pairs(codes: np.ndarray, counts: np.ndarray) -> float:
    """Bits a character needs where the chances are in proportion to `counts`."""
    chances = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return float(-np.log2(chances[codes[:-1], codes[1:]]).mean())


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "recurrent.png")
    parser.add_argument("--units", type=common.whole(1), default=128, help="(default: 128)")
    parser.add_argument("--epochs", type=common.whole(1), default=30, help="(default: 30)")
    parser.add_argument(
        "--characters", type=common.whole(LEAST), default=None, help="of the text (default: all)"
    )
    return common.status(example, parser.parse_args(argv))


def example(arguments: argparse.Namespace) -> bool:
    """Train, print and draw; whether the network beats all that has no memory."""
    text = " ".join(TEXT.read_text().split())[: arguments.characters]
    letters, codes = np.unique(list(text), return_inverse=True)
    shown, held = np.split(codes, [int(SHOWN * len(codes))])
    reader = Reader(network(len(letters), arguments.units, arguments.seed), len(letters))
    flows = {"before training": reader.flow(*next(windows(shown, STREAMS, STEPS)))}
    curves: dict[str, list[float]] = {"shown": [], "held out": []}
    for _ in common.track(range(arguments.epochs), "reading the licence"):
        reader.epoch(shown)
        curves["shown"].append(reader.bits(shown))
        curves["held out"].append(reader.bits(held))
    flows["after training"] = reader.flow(*next(windows(shown, STREAMS, STEPS)))
    flows["before, with U halved"] = halved(len(letters), arguments).flow(
        *next(windows(shown, STREAMS, STEPS))
    )
    counts = pairs(shown, len(letters))
    limit = bits_by_pairs(shown, counts)
    print(f"{len(codes)} characters, {len(letters)} different ones; the first {SHOWN:.0%} shown")
    print(f"{'bits a character':<44}{'shown':>8}{'held out':>10}")
    print(f"{'at best, from the last character alone':<44}{limit:>8.2f}")
    _row("pairs counted in what was shown, plus one",
         *(bits_by_pairs(part, counts + 1) for part in (shown, held)))  # fmt: skip
    _row(f"recurrent network, {arguments.units} units", *(bits[-1] for bits in curves.values()))
    rng = np.random.default_rng(arguments.seed)
    print("it writes: ..." + "".join(letters[reader.write(shown[:200], 200, rng)]))
    draw(curves, limit, flows, arguments.output)
    return curves["shown"][-1] < limit


def halved(characters: int, arguments: argparse.Namespace) -> Reader:
    """An untrained network whose state halves at each step."""
    model = network(characters, arguments.units, arguments.seed)
    model.at("memory").params["round"] *= 0.5
    return Reader(model, characters)


def _row(name: str, shown: float, held: float) -> None:
    print(f"{name:<44}{shown:>8.2f}{held:>10.2f}")


def draw(
    curves: Mapping[str, Sequence[float]], limit: float, flows: Mapping[str, np.ndarray], path: Path
) -> None:
    """The learning curves, and how gradients shrink on their way back in time."""
    figure = common.figure(10, 3.6)
    learning, back = figure.subplots(1, 2)
    for (part, bits), colour in zip(curves.items(), (common.BLUE, common.GREEN), strict=True):
        learning.plot(range(1, len(bits) + 1), bits, color=colour, label=f"network, text {part}")
    learning.axhline(limit, color=common.ORANGE, ls="--", label="best without memory, text shown")
    learning.legend(frameon=False, fontsize=9)
    common.plain(learning, "Bits a character", xlabel="epoch", ylim=(0, None))
    colours = (common.GREY, common.BLUE, common.ORANGE)
    for (when, norms), colour in zip(flows.items(), colours, strict=True):
        ago = np.arange(len(norms))[::-1]
        back.semilogy(ago, norms / norms[-1], ".-", color=colour, label=when)
    back.legend(frameon=False, fontsize=9)
    common.plain(
        back, "Gradient of one prediction for the states before it", xlabel="characters ago",
        ylabel="norm, relative to the last",
    )  # fmt: skip
    common.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
