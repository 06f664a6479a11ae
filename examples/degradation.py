"""More layers can train worse: plain networks of 20 and 56 layers, and a residual one of 56.

    pip install -e '.[data,train]'
    python examples/degradation.py -o degradation.png

The networks are those of the paper for small images, thinner here: three stages of pairs of 3x3
convolutions with batch normalisation. The two of 56 layers have the same parameters, and differ in
nothing but the sum around each pair. All three are trained alike, by gradient descent with
momentum, on the patches of ten photos; the seed draws the weights and the order of the patches.

A network of 56 layers could compute what one of 20 does, with layers that change nothing. If the
plain one ends with the larger loss on what it is *trained* with, that is no overfitting: it is
harder to optimise, and a shortcut, which begins near "changes nothing", takes that away. The exit
status is 0 if the plain network of 56 layers ends with a larger loss in training than both others.

Source: K. He et al., "Deep residual learning for image recognition", 2016, section 4.2, figure 6.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import common

from pycnn import data, models, nn, train

NETWORKS = {"cifar_plain20": "plain, 20 layers", "cifar_plain56": "plain, 56 layers",
            "cifar_resnet56": "residual, 56 layers"}  # fmt: skip


def learn(name: str, photos: data.DataSet, given: argparse.Namespace) -> list[train.Epoch]:
    """Train one network; the loss falls by SGD with momentum, whose rate ends as a cosine does."""
    model = models.create(name, width=given.width, seed=given.seed)
    optimizer = nn.SGD(model, given.lr, momentum=0.9, weight_decay=1e-4)
    schedule = nn.Cosine(optimizer, given.epochs)
    trainer = train.Trainer(model, photos, optimizer, schedule, by_step=True, batch=given.batch,
                            seed=given.seed)  # fmt: skip
    for epoch in range(1, given.epochs + 1):
        trainer.fit(epoch)
        print(f"{NETWORKS[name]:<20}{trainer.state.history[-1]}", flush=True)
    return trainer.state.history


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "degradation.png")
    parser.add_argument("--epochs", type=common.whole(1), default=12, help="(default: 12)")
    parser.add_argument("--batch", type=common.whole(1), default=64, help="(default: 64)")
    parser.add_argument("--lr", type=common.above_zero, default=0.1, help="at first (default: 0.1)")
    parser.add_argument("--width", type=common.above_zero, default=0.25, help="(default: 0.25)")
    parser.add_argument("--patches", type=common.whole(1), help="to learn (default: all)")
    return common.status(example, parser.parse_args(argv))


def example(given: argparse.Namespace) -> bool:
    """Train the three, draw their curves, and say whether the deep plain one is the worst."""
    photos = data.load("photo_patches")
    if given.patches:
        photos = photos.subset("train", given.patches).subset("test", given.patches)
    found = {name: learn(name, photos, given) for name in NETWORKS}
    draw(found, given.output)
    shallow, deep, residual = (found[name][-1].loss for name in NETWORKS)
    return deep > shallow and deep > residual


def draw(found: Mapping[str, Sequence[train.Epoch]], path: Path) -> None:
    """Loss while training, and share of wrong answers on the patches to train and to test."""
    figure = common.figure(10, 3.6)
    losses, errors = figure.subplots(1, 2)
    colours = (common.BLUE, common.ORANGE, common.GREEN)
    for (name, rows), colour in zip(found.items(), colours, strict=True):
        epochs = [row.epoch for row in rows]
        losses.plot(epochs, [row.loss for row in rows], color=colour, label=NETWORKS[name])
        for kind, line in (("accuracy", "--"), ("test_accuracy", "-")):
            wrong = [100 * (1 - getattr(row, kind)) for row in rows]
            errors.plot(epochs, wrong, line, color=colour)
    losses.legend(frameon=False, fontsize=9)
    common.plain(losses, "Loss in training", xlabel="epoch", ylim=(0, None))
    common.plain(errors, "Error, %: dashed in training, solid on test patches", xlabel="epoch",
                 ylim=(0, 100))  # fmt: skip
    common.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
