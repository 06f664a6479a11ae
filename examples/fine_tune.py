"""A ResNet-18 that has learnt six photos learns four others: a new head, then all of it.

    pip install -e '.[data,train]'
    python examples/fine_tune.py

The photo patches of `pycnn.data` are cut out of ten photos; the class is the photo. A ResNet-18, a
quarter as wide as the paper's, learns six of them. Of the other four there are few patches, and
four ways to learn them:

* from scratch: new weights, all trained;
* head: the body is frozen, apart from the statistics of its normalisations, which follow the new
  patches; the new dense layer alone is trained, and backward computes nothing for the body;
* head, then all: as many epochs, but for the last third of them the body is thawed, at a tenth of
  the head's rate;
* all: the body is trained from the first step on, at a tenth of the head's rate.

Times are those of the steps, without the tests after every epoch. The exit status is 0 if the
frozen body takes less time than training all of it, and thawing it at the end reaches more.

Source: J. Yosinski et al., "How transferable are features in deep neural networks?", 2014.
"""

import argparse
import sys
from collections.abc import Sequence

import common
import numpy as np

from pycnn import data, models, nn, train
from pycnn.runtime.extras import MissingExtra

LEARNT = ("astronaut", "chelsea", "coffee", "retina", "motorcycle", "china")
NEW = ("rocket", "hubble", "ihc", "flower")
WAYS = ("from scratch", "head", "head, then all", "all")


def patches(photos: data.DataSet, names: Sequence[str]) -> data.DataSet:
    """The patches of some photos."""
    numbers = [photos.classes.index(name) for name in names]
    chosen = np.isin(photos.labels, numbers)
    places = np.cumsum(chosen) - 1
    train_, test = (places[part[chosen[part]]] for part in (photos.train, photos.test))
    renumbered = np.full(len(photos.classes), -1)
    renumbered[numbers] = range(len(names))
    labels = renumbered[photos.labels[chosen]]
    return data.DataSet.of("patches", photos.images[chosen], labels, tuple(names), train_, test)


def network(classes: int, width: float, seed: int) -> nn.Sequential:
    """A ResNet-18 for patches."""
    return models.create(
        "resnet18", classes=classes, input_shape=(3, 32, 32), width=width, seed=seed
    )


def fit(
    model: nn.Layer, photos: data.DataSet, epochs: int, lr: float, body: float = 1.0
) -> tuple[float, float]:
    """Train, the body at its part of the rate; accuracy on the test patches, seconds of steps."""
    slower = {part: {"lr": body * lr} for part in ("stem", "stage*")}
    optimizer = nn.Adam(model, lr, groups=slower)
    schedule = nn.Cosine(optimizer, epochs)
    trainer = train.Trainer(model, photos, optimizer, schedule, by_step=True, batch=32)
    history = trainer.fit(epochs)
    return history[-1].test_accuracy, sum(row.seconds for row in history)


def learn(
    way: str, pretrained: nn.Layer, photos: data.DataSet, given: argparse.Namespace
) -> tuple[float, float]:
    """The accuracy that one of `WAYS` reaches, and the time that it takes."""
    model = network(len(NEW), given.width, given.seed + 1)
    if way == "from scratch":
        return fit(model, photos, given.epochs, 3e-3)
    body = {n: a for n, a in pretrained.state_dict().items() if not n.startswith("classifier")}
    model.load_state_dict(model.state_dict() | body)
    if way == "all":
        return fit(model, photos, given.epochs, 1e-2, body=0.1)
    model.freeze().at("classifier").unfreeze()
    if way == "head":
        return fit(model, photos, given.epochs, 1e-2)
    last = given.epochs // 3
    _, before = fit(model, photos, given.epochs - last, 1e-2)
    model.unfreeze()
    accuracy, after = fit(model, photos, last, 1e-2, body=0.1)
    return accuracy, before + after


def main(arguments: list[str] | None = None) -> int:
    """Learn six photos, then four others in four ways; print time and accuracy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=common.whole(0), default=0)
    parser.add_argument("--before", type=common.whole(1), default=4, help="epochs of six photos")
    parser.add_argument("--epochs", type=common.whole(3), default=12, help="epochs of the others")
    parser.add_argument("--patches", type=common.whole(4), default=160, help="of the four others")
    parser.add_argument("--width", type=float, default=0.25, help="factor of the channels")
    given = parser.parse_args(arguments)
    try:
        photos = data.load("photo_patches")
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return common.IMPOSSIBLE
    pretrained = network(len(LEARNT), given.width, given.seed)
    reached, _ = fit(pretrained, patches(photos, LEARNT), given.before, 3e-3)
    print(f"six photos: {reached:.1%} after {given.before} epochs")
    few = patches(photos, NEW).subset("train", given.patches)
    accuracies, seconds = {}, {}
    for way in WAYS:
        accuracies[way], seconds[way] = learn(way, pretrained, few, given)
        print(f"{way:<15} {accuracies[way]:6.1%} in {seconds[way]:5.1f} s", flush=True)
    good = seconds["head"] < seconds["all"]
    good = good and accuracies["head, then all"] > accuracies["head"]
    return common.REACHED if good else common.MISSED


if __name__ == "__main__":
    sys.exit(main())
