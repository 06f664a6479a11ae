"""What training was like: a row an epoch, as CSV, JSON and a picture."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import replacing, write_json


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    loss, accuracy : float
        Means over the training examples as they were seen, of the model's result without the
        heads of taps, as the test's are; accuracy from 0 to 1.
    test_loss, test_accuracy : float
        On the test part, after the epoch.
    lr : float
        Learning rate.
    seconds : float
        Of training, without the test.
    images_per_s : float
    """

    epoch: int
    loss: float
    accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    seconds: float
    images_per_s: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: loss {self.loss:.4f}, accuracy {self.accuracy:.2%}; "
            f"test loss {self.test_loss:.4f}, accuracy {self.test_accuracy:.2%}; "
            f"{self.images_per_s:.0f} images/s"
        )


def write(history: Sequence[Epoch], path: Path) -> None:
    """Write as CSV or JSON, by the suffix of `path`.

    Raises
    ------
    ValueError
        If the suffix is another.
    """
    if path.suffix == ".json":
        write_json(path, [asdict(row) for row in history])
    elif path.suffix == ".csv":
        with replacing(path) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [f.name for f in fields(Epoch)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in history)
    else:
        raise ValueError(f"log {path}: allowed are the suffixes .csv and .json")


def draw(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw loss and accuracy by epoch into an image file.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    figures = import_extra("matplotlib.figure", "train", "a plot of training")
    figure = figures.Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    for axes, name, scale in ((loss, "loss", 1.0), (accuracy, "accuracy", 100.0)):
        for prefix, label in (("", "training"), ("test_", "test")):
            values = [scale * getattr(row, prefix + name) for row in history]
            axes.plot(epochs, values, marker="o", markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel="accuracy, %" if name == "accuracy" else name)
        axes.grid(alpha=0.3)
        axes.legend()
    loss.set_yscale("log")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
