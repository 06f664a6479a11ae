"""How far training is."""

from dataclasses import dataclass, field

from pycnn.train.history import Epoch


@dataclass(frozen=True)
class StepInfo:
    """Where training is, for a progress bar: after step `step` of `steps` of epoch `epoch`."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_s: float


@dataclass
class TrainState:
    """How far training is; what a checkpoint holds beside arrays.

    Attributes
    ----------
    epoch, step : int
        Epochs finished, and steps of the one after them.
    loss_sum, correct, examples : float, int, int
        Sums over the examples of the epoch that has begun.
    seconds : float
        Spent on it.
    history : list of Epoch
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    examples: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean over the examples so far."""
        return self.loss_sum / self.examples

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.correct / self.examples

    @property
    def images_per_s(self) -> float:
        """Examples by the second."""
        return self.examples / self.seconds
