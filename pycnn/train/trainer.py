"""Train a classifier on a data set: the loop, and everything that makes it safe to interrupt."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.data import DataSet, batches
from pycnn.nn.arrays import device_of, mover, to_numpy
from pycnn.nn.combine import taps
from pycnn.nn.layer import Layer, evaluating
from pycnn.nn.loss import CrossEntropyLoss
from pycnn.nn.optim import Optimizer, clip_grad_norm
from pycnn.nn.schedule import Constant, Schedule
from pycnn.runtime.faults import synchronize
from pycnn.train.checkpoint import Checkpoint, save
from pycnn.train.diverged import Diverged, first_not_finite
from pycnn.train.history import Epoch
from pycnn.train.interrupt import Interrupted, deferred


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


class Trainer:
    """Trains a classifier: cross-entropy, seeded batches, taps, checkpoints.

    The same seed gives the same weights, bit for bit, also when training was interrupted and
    resumed from a checkpoint.

    Parameters
    ----------
    model : Layer
        Images (N, C, H, W) to scores (N, classes).
    data : DataSet
    optimizer : Optimizer
        Of `model`.
    schedule : Schedule, optional
        Of `optimizer`; constant by default.
    batch : int, default 64
    seed : int, default 0
        Of the order of examples, of `transform` and of dropout.
    transform : callable, optional
        Augmentation, see `pycnn.data.batches`.
    loss : CrossEntropyLoss, optional
    clip_norm : float, optional
        Largest norm of all gradients together.
    checkpoint : Path or str, optional
        Written after every epoch, and when interrupted.

    Examples
    --------
    >>> from pycnn import data, nn, train
    >>> digits = data.load("digits")
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> trainer = train.Trainer(model, digits, nn.Adam(model, lr=1e-2))
    >>> history = trainer.fit(epochs=3)
    >>> history[-1].test_accuracy > 0.85
    True
    """

    def __init__(
        self,
        model: Layer,
        data: DataSet,
        optimizer: Optimizer,
        schedule: Schedule | None = None,
        *,
        batch: int = 64,
        seed: int = 0,
        transform: Callable[..., Any] | None = None,
        loss: CrossEntropyLoss | None = None,
        clip_norm: float | None = None,
        checkpoint: Path | str | None = None,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch={batch}: allowed are 1 and more")
        if optimizer.model is not model:
            raise ValueError("optimizer is of another model")
        if not model.parameters():
            raise ValueError("model has no parameters to train")
        self.model, self.data, self.optimizer = model, data, optimizer
        self.schedule = schedule or Constant(optimizer)
        self.batch, self.seed, self.transform = batch, seed, transform
        self.loss = loss or CrossEntropyLoss()
        self.clip_norm = clip_norm
        self.checkpoint = Path(checkpoint) if checkpoint is not None else None
        self.state = TrainState()
        self._move = mover(device_of(model.parameters()[0].value))

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.data.train) // self.batch)

    def fit(
        self, epochs: int, callback: Callable[[StepInfo], None] = lambda info: None
    ) -> list[Epoch]:
        """Train until `epochs` epochs are done, those before a resumption counted.

        Parameters
        ----------
        epochs : int
        callback : callable, optional
            Called after every step.

        Returns
        -------
        list of Epoch
            A row for every epoch.

        Raises
        ------
        Diverged
            If the loss is not finite; names the layer that made it so. The last checkpoint stays.
        Interrupted
            After Ctrl-C or SIGTERM, at the end of the step, with a checkpoint written.
        """
        if epochs < 1:
            raise ValueError(f"epochs={epochs}: allowed are 1 and more")
        with deferred() as interrupted:
            while self.state.epoch < epochs:
                for info in self._epoch():
                    callback(info)
                    if interrupted():
                        self._stop()
                self._finish_epoch()
                if interrupted() and self.state.epoch < epochs:
                    self._stop()
        return self.state.history

    def _stop(self) -> None:
        if self.checkpoint is None:
            raise Interrupted("interrupted; nothing saved, as no checkpoint was asked for")
        self.save()
        raise Interrupted(f"interrupted and saved; go on with --resume {self.checkpoint}")

    def _epoch(self) -> Iterator[StepInfo]:
        """The rest of the epoch that has begun."""
        state = self.state
        self.model.train()
        if state.step == 0:
            last = state.history[-1].test_loss if state.history else None
            self.schedule.set(state.epoch, last)
        ordered = batches(
            self.data, "train", self.batch, seed=self.seed, epoch=state.epoch,
            transform=self.transform,
        )  # fmt: skip
        for images, labels in itertools.islice(ordered, state.step, None):
            begin = time.perf_counter()
            loss, correct = self._step(self._move(images), self._move(labels))
            state.step += 1
            state.loss_sum += loss * len(images)
            state.correct += correct
            state.examples += len(images)
            state.seconds += time.perf_counter() - begin
            yield StepInfo(
                state.epoch + 1, state.step, self.steps, state.loss, state.accuracy,
                state.images_per_s,
            )  # fmt: skip

    def _step(self, x: Any, labels: Any) -> tuple[float, int]:
        """One move of the parameters; the loss and the correct classifications before it."""
        self.model.reseed(self.seed, self.optimizer.steps)
        self.model.zero_grad()
        scores = self.model.forward(x)
        loss = float(self.loss.forward(scores, labels))
        dscores = self.loss.backward()
        for tap in taps(self.model):
            loss += tap.weight * float(self.loss.forward(tap.output, labels))
            tap.gradient_of_output = self.loss.backward() * tap.output.dtype.type(tap.weight)
        if not np.isfinite(loss):
            synchronize()  # a label that is no class is another error
            raise Diverged(
                f"the loss of step {self.state.step + 1} of epoch {self.state.epoch + 1} is "
                f"{loss}; the first to make such a number is {first_not_finite(self.model, x)}"
            )
        self.model.backward(dscores, needs_dx=False)
        if self.clip_norm is not None:
            clip_grad_norm(self.model, self.clip_norm)
        self.optimizer.step()
        return loss, int((scores.argmax(axis=1) == labels).sum())

    def _finish_epoch(self) -> None:
        state = self.state
        test_loss, test_accuracy = self.evaluate()
        row = Epoch(
            state.epoch + 1, state.loss, state.accuracy, test_loss, test_accuracy,
            self.optimizer.lr, state.seconds, state.images_per_s,
        )  # fmt: skip
        self.state = TrainState(epoch=state.epoch + 1, history=[*state.history, row])
        if self.checkpoint is not None:
            self.save()

    def evaluate(self, part: str = "test") -> tuple[float, float]:
        """Loss and accuracy (0 to 1) on a part of the data, in evaluation mode."""
        return evaluate(self.model, self.data, part, self.loss, self.batch)

    def save(self) -> None:
        """Write the checkpoint.

        Raises
        ------
        ValueError
            If no file was named.
        """
        if self.checkpoint is None:
            raise ValueError("checkpoint=None: nowhere to save to")
        about = {
            "data": self.data.name,
            "classes": list(self.data.classes),
            "mean": list(map(float, self.data.mean)),
            "std": list(map(float, self.data.std)),
            "input_shape": list(self.data.images.shape[1:]),
            "training": {
                "batch": self.batch,
                "seed": self.seed,
                "optimizer": type(self.optimizer).__name__,
                "optimizer_steps": self.optimizer.steps,
                "lr": self.optimizer.lr,
                "schedule": self.schedule.state(),
                "state": asdict(self.state),
            },
        }
        save(self.checkpoint, self.model, about, self.optimizer.state_dict())

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same training.

        Raises
        ------
        ValueError
            If it is of another model, optimiser, batch size, seed or data set, or of a model alone.
        """
        training = checkpoint.about.get("training")
        if not training:
            raise ValueError("the checkpoint holds a model alone, and no training to resume")
        mine = {
            "data": self.data.name, "batch": self.batch, "seed": self.seed,
            "optimizer": type(self.optimizer).__name__,
        }  # fmt: skip
        for name, value in mine.items():
            theirs = checkpoint.about.get(name, training.get(name))
            if theirs != value:
                raise ValueError(f"{name}={value!r}: the checkpoint was made with {theirs!r}")
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer, training["optimizer_steps"])
        self.optimizer.lr = training["lr"]
        self.schedule.load_state(training["schedule"])
        state = dict(training["state"])
        state["history"] = [Epoch(**row) for row in state["history"]]
        self.state = TrainState(**state)


def evaluate(
    model: Layer, data: DataSet, part: str = "test", loss: CrossEntropyLoss | None = None,
    batch: int = 64,
) -> tuple[float, float]:  # fmt: skip
    """Mean loss and accuracy (0 to 1) of a model on a part of a data set, in evaluation mode.

    Every layer is left in the mode it was in.
    """
    loss = loss or CrossEntropyLoss()
    move = mover(device_of(model.parameters()[0].value))
    total, correct, examples = 0.0, 0, 0
    with evaluating(model):
        for images, labels in batches(data, part, batch, seed=0, epoch=0):
            scores = model(move(images))
            total += float(loss(scores, move(labels))) * len(images)
            correct += int((to_numpy(scores).argmax(axis=1) == labels).sum())
            examples += len(images)
    synchronize()
    return total / examples, correct / examples
