"""ResNet-18 and ResNet-50 tell grass from gravel on photos of 96x96 pixels.

    pip install -e '.[data,train]'
    python examples/two_classes.py -o two_classes.png

The photos are cut out of two larger ones, from the left of each to learn and from the right to
test, so that no pixel is in both. They are grey, all of the same mean and deviation, so that
brightness does not give the class away. ResNet-18 is trained with both shortcuts of the paper:
where the shape changes, zeros for the channels that are missing, or a 1x1 convolution. Networks are
a quarter as wide as the paper's; `--width 1` makes them whole, and the wait ten times as long.

The exit status is 0 if every network gets nine photos in ten right that it has not seen.

Source: K. He et al., "Deep residual learning for image recognition", 2016.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import common
import numpy as np

from pycnn import data, models, nn, train
from pycnn.data.packages import package_file

CLASSES = ("grass", "gravel")
SIZE, STEP = 96, 12
NETWORKS = {
    "ResNet-18, zeros": ("resnet18", "identity"),
    "ResNet-18, 1x1": ("resnet18", "projection"),
    "ResNet-50, 1x1": ("resnet50", "projection"),
}
GOAL = 0.9


def patches(count: int, seed: int) -> data.DataSet:
    """At most `count` photos of each class to learn, and half as many to test."""
    images, labels, tests = [], [], []
    for label, name in enumerate(CLASSES):
        file = package_file("skimage", f"data/{name}.png", "scikit-image", "two classes of photos")
        grey = data.read_image(file, channels=1)[0].astype(float)
        middle = 2 * grey.shape[1] // 3
        for is_test, part in ((False, grey[:, :middle]), (True, grey[:, middle:])):
            windows = np.lib.stride_tricks.sliding_window_view(part, (SIZE, SIZE))
            cut = windows[::STEP, ::STEP].reshape(-1, 1, SIZE, SIZE)
            chosen = np.random.default_rng([seed, label]).permutation(len(cut))
            chosen = chosen[: count // 2 if is_test else count]
            images.append(standardised(cut[chosen]))
            labels.append(np.full(len(chosen), label))
            tests.append(np.full(len(chosen), is_test))
    tested = np.concatenate(tests)
    order = np.random.default_rng(seed).permutation(len(tested))
    return data.DataSet.of(
        "patches", np.concatenate(images), np.concatenate(labels), CLASSES,
        train=order[~tested[order]], test=order[tested[order]],
    )  # fmt: skip


def standardised(grey: np.ndarray) -> np.ndarray:
    """Each photo with mean 128 and deviation 40, uint8."""
    mean, deviation = (f(grey, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    return np.clip(128 + 40 * (grey - mean) / deviation, 0, 255).round().astype(np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "two_classes.png")
    parser.add_argument("--epochs", type=common.whole(1), default=5, help="(default: 5)")
    parser.add_argument(
        "--patches", type=common.whole(2), default=160, help="of each class, to learn"
    )
    parser.add_argument("--width", type=common.above_zero, default=0.25, help="(default: 0.25)")
    return common.status(example, parser.parse_args(argv))


def example(given: argparse.Namespace) -> bool:
    """Train each network, print what it has and what it reached, draw, and judge."""
    photos = patches(given.patches, given.seed)
    print(f"{len(photos.train)} photos to learn, {len(photos.test)} to test")
    print(f"{'network':<20}{'parameters':>12}{'multiply-adds':>15}{'right':>9}{'seconds':>9}")
    found = {}
    for name, (design, shortcut) in NETWORKS.items():
        model = models.create(design, classes=2, input_shape=photos.shape, width=given.width,
                              shortcut=shortcut, seed=given.seed)  # fmt: skip
        optimizer = nn.Adam(model, 2e-3)
        schedule = nn.Cosine(optimizer, given.epochs)
        trainer = train.Trainer(model, photos, optimizer, schedule, by_step=True, batch=16,
                                seed=given.seed)  # fmt: skip
        found[name] = trainer.fit(given.epochs)
        seconds = sum(row.seconds for row in found[name])
        print(f"{name:<20}{model.parameter_count:>12,}"
              f"{models.multiply_adds(model, photos.shape) / 1e6:>13,.1f} M"
              f"{found[name][-1].test_accuracy:>9.1%}{seconds:>9.0f}", flush=True)  # fmt: skip
    draw(photos, found, given.output)
    return all(rows[-1].test_accuracy >= GOAL for rows in found.values())


def draw(photos: data.DataSet, found: Mapping[str, Sequence[train.Epoch]], path: Path) -> None:
    """Patches of both classes as the networks see them, and what came of it."""
    figure = common.figure(9, 3.4)
    seen, curves = figure.subplots(1, 2)
    few = [photos.train[photos.labels[photos.train] == label][:8] for label in (0, 1)]
    common.tiles(seen, photos.images[np.concatenate(few), 0] / 255, 4,
                 "Above grass, below gravel: 96x96 pixels")  # fmt: skip
    colours = (common.BLUE, common.GREEN, common.ORANGE)
    for (name, rows), colour in zip(found.items(), colours, strict=True):
        epochs = [row.epoch for row in rows]
        right = [100 * row.test_accuracy for row in rows]
        curves.plot(epochs, right, ".-", color=colour, label=name)
    curves.legend(frameon=False, fontsize=9)
    common.plain(curves, "Right, % of photos that are not trained with", xlabel="epoch",
                 ylim=(40, 101), xticks=range(1, len(rows) + 1))  # fmt: skip
    common.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
