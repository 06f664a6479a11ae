"""How far training is, and figures over what was seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pycnn.train.history import Epoch


@dataclass(frozen=True)
class StepInfo:
    """Where training is, for a progress bar: after step `step` of `steps` of epoch `epoch`."""

    epoch: int
    step: int
    steps: int
    loss: float
    metrics: dict[str, float]
    images_per_s: float


@dataclass
class Means:
    """Figures over many batches, whatever their sizes.

    Attributes
    ----------
    loss_sum, weight : float
        Sum of the losses, each times what it is the mean over, and of these weights.
    metric_sums : dict of str to float
        Sums over examples.
    examples : int
    """

    loss_sum: float = 0.0
    weight: float = 0.0
    examples: int = 0
    metric_sums: dict[str, float] = field(default_factory=dict)

    def add(self, loss: float, weight: float, examples: int, metrics: Mapping[str, float]) -> None:
        """Count a batch: means over it, and what its loss is the mean over."""
        if weight:  # of classes that are all ignored, the mean over none is no number
            self.loss_sum += loss * weight
        self.weight += weight
        self.examples += examples
        for name, value in metrics.items():
            self.metric_sums[name] = self.metric_sums.get(name, 0.0) + value * examples

    @property
    def loss(self) -> float:
        """Mean so far."""
        return self.loss_sum / self.weight if self.weight else float("nan")

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the examples so far."""
        return {name: total / self.examples for name, total in self.metric_sums.items()}


@dataclass
class TrainState(Means):
    """How far training is; what a checkpoint holds beside arrays.

    Attributes
    ----------
    epoch, step : int
        Epochs finished, and steps of the one after them, whose figures it has.
    seconds : float
        Spent on it.
    history : list of Epoch
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)

    @property
    def images_per_s(self) -> float:
        """Examples by the second."""
        return self.examples / self.seconds
