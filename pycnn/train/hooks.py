"""What of one's own happens while a model is trained."""

from typing import TYPE_CHECKING

from pycnn.train.history import Epoch
from pycnn.train.state import StepInfo

if TYPE_CHECKING:
    from pycnn.train.trainer import Trainer


class Hook:
    """Base: does nothing. Derive from it, and say what happens.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import data, nn, train
    >>> class Noise(train.Hook):
    ...     def gradients(self, trainer):
    ...         rng = np.random.default_rng(trainer.optimizer.steps)
    ...         for parameter in trainer.model.parameters():
    ...             grad = parameter.grad
    ...             grad += 1e-3 * rng.standard_normal(grad.shape).astype(grad.dtype)
    ...     def epoch(self, trainer, row):
    ...         return row.test_accuracy > 0.8
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> digits = data.load("digits")
    >>> trainer = train.Trainer(model, digits, nn.Adam(model, 1e-2), hooks=[Noise()])
    >>> len(trainer.fit(epochs=50)) < 50
    True
    """

    def gradients(self, trainer: "Trainer") -> None:
        """Before a step: the layers hold the gradients of the whole batch, times a loss scale."""

    def step(self, trainer: "Trainer", info: StepInfo) -> None:
        """After a step."""

    def epoch(self, trainer: "Trainer", row: Epoch) -> bool | None:
        """After an epoch and its checkpoint; what is true ends the training."""
