"""LeNet-5 on digits in bfloat16 and float16: as accurate as in float32, seed by seed.

    pip install -e '.[data,train]'
    python examples/mixed_precision.py --seeds 3 --epochs 8

Layers compute in 16 bits; weights, their gradients, softmax and the loss stay in float32. float16
brings a scaled loss, which finds its factor by itself. The first weights and the order of the
images are those of the seed, whatever the precision.

The exit status is 0 if the mean accuracy of both is within half a point of float32's, or above.

Source: P. Micikevicius et al., "Mixed precision training", 2018.
"""

import argparse
import sys

import common
import numpy as np

from pycnn import data, models, nn, train
from pycnn.runtime.extras import MissingExtra

PRECISIONS = ("float32", "bfloat16", "float16")

#: Points of accuracy that 16 bits may cost.
ALLOWED = 0.5


def accuracy(digits: data.DataSet, precision: str, seed: int, epochs: int) -> float:
    """Of the last epoch, on the test images, in percent."""
    model = models.create("lenet5", seed=seed)
    optimizer = nn.Adam(model, 2e-3)
    trainer = train.Trainer(
        model, digits, optimizer, nn.Cosine(optimizer, epochs), seed=seed, by_step=True,
        precision=None if precision == "float32" else precision,
    )  # fmt: skip
    return 100 * trainer.fit(epochs)[-1].test_accuracy


def main(arguments: list[str] | None = None) -> int:
    """Train, print a table, say whether 16 bits are enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=common.whole(1), default=3)
    parser.add_argument("--epochs", type=common.whole(1), default=8)
    parser.add_argument("--images", type=common.whole(10, 4000), default=4000)
    given = parser.parse_args(arguments)
    try:
        digits = data.load("mnist5k").subset("train", given.images)
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return common.IMPOSSIBLE
    print(f"{'seed':<6}" + "".join(f"{name:>10}" for name in PRECISIONS))
    reached = np.zeros((given.seeds, len(PRECISIONS)))
    for seed, row in enumerate(reached):
        row[:] = [accuracy(digits, name, seed, given.epochs) for name in PRECISIONS]
        print(f"{seed:<6}" + "".join(f"{value:9.2f}%" for value in row), flush=True)
    means = reached.mean(axis=0)
    print(f"{'mean':<6}" + "".join(f"{value:9.2f}%" for value in means))
    return common.REACHED if means[1:].min() >= means[0] - ALLOWED else common.MISSED


if __name__ == "__main__":
    sys.exit(main())
