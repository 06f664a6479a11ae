"""What training was like: a row an epoch, as CSV, JSON and a picture."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
    loss, metrics : float, dict of str to float
        Means over the training examples as they were seen, of the model's result without the
        heads of taps, as the test's are.
    test_loss, test_metrics : float, dict of str to float
        On the test part, after the epoch.
    lr : float
        Learning rate.
    seconds : float
        Of training, without the test.
    images_per_s : float
    """

    epoch: int
    loss: float
    metrics: dict[str, float]
    test_loss: float
    test_metrics: dict[str, float]
    lr: float
    seconds: float
    images_per_s: float

    @property
    def accuracy(self) -> float:
        """From 0 to 1; of a classifier."""
        return self.metrics["accuracy"]

    @property
    def test_accuracy(self) -> float:
        """From 0 to 1; of a classifier."""
        return self.test_metrics["accuracy"]

    def row(self) -> dict[str, float]:
        """All figures by name, in the order of a table's columns."""
        values = asdict(self)
        metrics, test = values.pop("metrics"), values.pop("test_metrics")
        return {
            "epoch": values.pop("epoch"), "loss": values.pop("loss"), **metrics,
            "test_loss": values.pop("test_loss"), **{f"test_{n}": v for n, v in test.items()},
            **values,
        }  # fmt: skip

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: loss {self.loss:.4f}{figures(self.metrics)}; "
            f"test loss {self.test_loss:.4f}{figures(self.test_metrics)}; "
            f"{self.images_per_s:.0f} images/s"
        )


def figures(metrics: Mapping[str, float], between: str = ", ") -> str:
    """Metrics in words, accuracy in percent."""
    return "".join(
        f"{between}{name} {value:.2%}" if name == "accuracy" else f"{between}{name} {value:.4f}"
        for name, value in metrics.items()
    )


def write(history: Sequence[Epoch], path: Path) -> None:
    """Write as CSV or JSON, by the suffix of `path`.

    Raises
    ------
    ValueError
        If the suffix is another.
    """
    if path.suffix == ".json":
        write_json(path, [row.row() for row in history])
    elif path.suffix == ".csv":
        with replacing(path) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [*history[0].row()])
            writer.writeheader()
            writer.writerows(row.row() for row in history)
    else:
        raise ValueError(f"log {path}: allowed are the suffixes .csv and .json")


def draw(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw loss and metrics by epoch into an image file.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    library = import_extra("matplotlib.figure", "train", "a plot of training")
    names = ["loss", *history[0].metrics]
    figure = library.Figure(figsize=(4.5 * len(names), 3.6), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    rows = [row.row() for row in history]
    columns = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(columns, names, strict=True):
        scale = 100.0 if name == "accuracy" else 1.0
        for prefix, label in (("", "training"), ("test_", "test")):
            values = [scale * row[prefix + name] for row in rows]
            axes.plot([row["epoch"] for row in rows], values, marker="o", markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel="accuracy, %" if name == "accuracy" else name)
        axes.grid(alpha=0.3)
        axes.legend()
    if all(row["loss"] > 0 and row["test_loss"] > 0 for row in rows):
        columns[0].set_yscale("log")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
