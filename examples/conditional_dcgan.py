"""Two networks play against each other until one draws the digit that it is asked for.

    pip install -e '.[train,data]'
    python examples/conditional_dcgan.py -o conditional_dcgan.png

The generator makes an image of noise and a label, by transposed convolutions; the discriminator
sees an image and its label, one plane a class, and says by strided convolutions whether it is real.
Each learns from the other's mistakes.

How good is it? A LeNet-5 trained on real digits reads what was generated. The exit status is 0 if
it reads at least 80 % as the digit that was asked for.

Sources: I. Goodfellow et al., "Generative adversarial nets", 2014; M. Mirza, S. Osindero,
"Conditional generative adversarial nets", 2014; A. Radford, L. Metz, S. Chintala, "Unsupervised
representation learning with deep convolutional generative adversarial networks", 2016 (the rules:
strides in place of pooling, batch normalisation, Adam with 0.5 for its first mean).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

import pycnn.data
from pycnn import models, nn
from pycnn.models import dcgan

GOAL = 0.8
CLASSES, SIDE, NOISE = 10, 28, 32
BATCH = 32


def request(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a generator takes to draw these digits, (N, 42): noise, then the label."""
    noise = rng.standard_normal((len(labels), NOISE), np.float32)
    return models.join_labels(noise, labels, CLASSES)


class Game:
    """A generator, a discriminator, and how they learn."""

    def __init__(self, width: float, seed: int) -> None:
        with nn.seeded(seed):
            self.draws = models.dcgan_generator((NOISE + CLASSES,), (1, SIDE, SIDE), width)
            self.judges = models.dcgan_discriminator((1 + CLASSES, SIDE, SIDE), width)
        self.rng = np.random.default_rng(seed)
        self.loss = nn.BCEWithLogitsLoss()
        self.draws_moves = nn.Adam(self.draws, lr=1e-3, betas=(0.5, 0.999))
        self.judges_moves = nn.Adam(self.judges, lr=3e-4, betas=(0.5, 0.999))

    def step(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """One move of each on a batch of real digits; their losses, discriminator's first."""
        self.judges.zero_grad()
        self.draws.zero_grad()
        asked = request(labels, self.rng)
        drawn = self.draws.forward(asked)
        caught, _ = self._judge(images, labels, real=True)
        let_pass, _ = self._judge(drawn, labels, real=False)
        self.judges_moves.step()
        missed, gradient = self._judge(drawn, labels, real=True, needs_dx=True)  # as it would like
        self.draws.backward(gradient[:, :1], needs_dx=False)
        self.draws_moves.step()
        return caught + let_pass, missed

    def _judge(
        self, images: np.ndarray, labels: np.ndarray, *, real: bool, needs_dx: bool = False
    ) -> tuple[float, Any]:
        """The discriminator's loss where `real` is right, and its gradient for what it saw."""
        scores = self.judges.forward(models.join_labels(images, labels, CLASSES))
        loss = float(self.loss.forward(scores, np.full_like(scores, real)))
        return loss, self.judges.backward(self.loss.backward(), needs_dx)

    def draw(self, labels: np.ndarray) -> np.ndarray:
        """Digits as asked for, (N, 1, 28, 28) from 0 to 1."""
        self.draws.eval()
        images = self.draws(request(labels, self.rng))
        self.draws.train()
        return (images + 1) / 2


def between(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pixels from -1 to 1, as a generator's tanh gives them."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def play(game: Game, digits: pycnn.data.DataSet, epochs: int, seed: int) -> np.ndarray:
    """Train both; their mean losses of each epoch, (epochs, 2)."""
    means = []
    for epoch in common.track(range(epochs), "playing"):
        losses = [
            game.step(images, labels)
            for images, labels in pycnn.data.batches(
                digits, "train", BATCH, seed=seed, epoch=epoch, transform=between
            )
        ]
        means.append(np.mean(losses, axis=0))
    return np.array(means)


def learn_to_read(digits: pycnn.data.DataSet, epochs: int, seed: int) -> nn.Sequential:
    """A LeNet-5 trained on the real digits."""
    with nn.seeded(seed):
        model = models.lenet5()
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(model)
    for epoch in common.track(range(epochs), "learning to read"):
        for images, labels in pycnn.data.batches(
            digits, "train", BATCH, seed=seed, epoch=epoch, transform=between
        ):
            loss.forward(model.forward(images), labels)
            model.zero_grad()
            model.backward(loss.backward(), needs_dx=False)
            optimizer.step()
    return model


def share_read(model: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images, from 0 to 1, that are read as their labels."""
    return float((model(2 * images - 1).argmax(axis=1) == labels).mean())


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "conditional_dcgan.png")
    common.add_counts(
        parser,
        ("epochs", 20, None, "over the real digits"), ("filters", 24, None, "next to the image"),
        ("digits", 4000, 4000, "to learn from, of 4000"), ("judged", 1000, None, "to read"),
    )  # fmt: skip
    return common.status(example, parser.parse_args(argv))


def example(arguments: argparse.Namespace) -> bool:
    """Play, read what was drawn, print and draw."""
    digits = pycnn.data.load("mnist5k").subset("train", arguments.digits)
    model = learn_to_read(digits, 6, arguments.seed)
    real = digits.images[digits.test].astype(np.float32) / 255
    print(f"LeNet-5 reads {share_read(model, real, digits.labels[digits.test]):.1%} "
          f"of {len(real)} real digits that it has not seen")  # fmt: skip
    game = Game(arguments.filters / dcgan.FILTERS, arguments.seed)
    asked = np.arange(arguments.judged) % CLASSES
    before = share_read(model, game.draw(asked), asked)
    losses = play(game, digits, arguments.epochs, arguments.seed)
    drawn = game.draw(asked)
    share = share_read(model, drawn, asked)
    print(f"it reads {share:.1%} of {len(asked)} generated digits as what was asked for "
          f"(before training: {before:.1%}); goal: {GOAL:.0%}")  # fmt: skip
    ten_by_ten = game.draw(np.repeat(np.arange(CLASSES), 10))
    draw(ten_by_ten, losses, arguments.output)
    return share >= GOAL


def draw(images: np.ndarray, losses: np.ndarray, path: Path) -> None:
    """Ten samples of each digit, and the losses of both players."""
    figure = common.figure(9, 4.2)
    sheet, curves = figure.subplots(1, 2)
    common.tiles(sheet, images[:, 0], 10, "Ten of each digit, as asked for")
    for loss, name, colour in zip(
        losses.T, ("discriminator", "generator"), (common.ORANGE, common.BLUE), strict=True
    ):
        curves.plot(range(1, len(loss) + 1), loss, color=colour, label=name)
    curves.legend(frameon=False, fontsize=9)
    common.plain(curves, "Loss", xlabel="epoch", ylim=(0, None))
    curves.xaxis.get_major_locator().set_params(integer=True)
    common.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
