"""Schedules: the learning rate by the number of the epoch."""

import math
from typing import Any

from pycnn.define.validate import ensure
from pycnn.nn.optimizer import Optimizer


class Schedule:
    """``schedule.set(epoch, metric)`` before an epoch (from 0) sets the learning rate.

    `epoch` may be a fraction, for schedules by the step. Apart from `Plateau` the rate is a
    function of the epoch alone.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.base = optimizer, optimizer.lr

    def factor(self, epoch: float) -> float:
        """What the first learning rate is multiplied with."""
        return 1.0

    def set(self, epoch: float, metric: float | None = None) -> None:
        """Set the learning rate; `metric`, to be small, is what `Plateau` watches."""
        self.optimizer.lr = self.base * self.factor(epoch)

    def settings(self) -> dict[str, Any]:
        """What it was made with, without the learning rate."""
        state = ("optimizer", *self.state())
        return {name: value for name, value in vars(self).items() if name not in state}

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        return {"base": self.base}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Raises
        ------
        ValueError
            If it is of another schedule.
        """
        if state.keys() != self.state().keys():
            raise ValueError(
                f"state of the schedule holds {', '.join(state)}; {type(self).__name__} needs "
                f"{', '.join(self.state())}"
            )
        for name, value in state.items():
            setattr(self, name, value)


class Constant(Schedule):
    """Always the same."""


class Step(Schedule):
    """Times `gamma` every `every` epochs.

    Examples
    --------
    >>> from pycnn import nn
    >>> schedule = nn.Step(nn.SGD(nn.Linear(1, 1), lr=1.0), every=30)
    >>> [round(schedule.factor(e), 3) for e in (0, 29, 30, 60)]
    [1.0, 1.0, 0.1, 0.01]
    """

    def __init__(self, optimizer: Optimizer, every: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        ensure("every", every, lambda n: n >= 1, "1 and more")
        self.every, self.gamma = every, gamma

    def factor(self, epoch: float) -> float:
        return self.gamma ** (int(epoch) // self.every)


class Cosine(Schedule):
    """Half a cosine from 1 to `floor` over `epochs`.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, eq. 5.
    """

    def __init__(self, optimizer: Optimizer, epochs: float, floor: float = 0.0) -> None:
        super().__init__(optimizer)
        ensure("epochs", epochs, lambda n: n > 0, "positive numbers")
        self.epochs, self.floor = epochs, floor

    def factor(self, epoch: float) -> float:
        done = min(epoch / self.epochs, 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class Warmup(Schedule):
    """Linearly up to another schedule's rate over the first `epochs`.

    The other schedule runs from the beginning: a `Plateau` watches its metric meanwhile.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.
    """

    def __init__(self, after: Schedule, epochs: float) -> None:
        super().__init__(after.optimizer)
        ensure("epochs", epochs, lambda n: n > 0, "positive numbers")
        self.after, self.epochs = after, epochs

    def factor(self, epoch: float) -> float:
        return min((epoch + 1) / (self.epochs + 1), 1.0) * self.after.factor(epoch)

    def set(self, epoch: float, metric: float | None = None) -> None:
        self.after.set(epoch, metric)
        super().set(epoch)

    def settings(self) -> dict[str, Any]:
        after = {f"after.{name}": value for name, value in self.after.settings().items()}
        return {"epochs": self.epochs, "after": type(self.after).__name__, **after}

    def state(self) -> dict[str, Any]:
        return {"base": self.base, "after": self.after.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        after = state.get("after")
        self.after.load_state(after if isinstance(after, dict) else {})
        super().load_state({**state, "after": self.after})


class Plateau(Schedule):
    """Times `gamma` when the metric has not fallen for more than `patience` epochs."""

    def __init__(self, optimizer: Optimizer, gamma: float = 0.1, patience: int = 10) -> None:
        super().__init__(optimizer)
        ensure("patience", patience, lambda n: n >= 0, "0 and more")
        self.gamma, self.patience = gamma, patience
        self.best, self.waited, self.reached = math.inf, 0, 1.0

    def factor(self, epoch: float) -> float:
        return self.reached

    def set(self, epoch: float, metric: float | None = None) -> None:
        if metric is not None:
            if metric < self.best:
                self.best, self.waited = metric, 0
            else:
                self.waited += 1
            if self.waited > self.patience:
                self.reached, self.waited = self.reached * self.gamma, 0
        super().set(epoch)

    def state(self) -> dict[str, Any]:
        best = 1e308 if math.isinf(self.best) else self.best  # JSON has no infinity
        return {"base": self.base, "best": best, "waited": self.waited, "reached": self.reached}
