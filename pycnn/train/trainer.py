"""Train a classifier on a data set: the loop, and everything that makes it safe to interrupt."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.data import DataSet, batches
from pycnn.nn.arrays import device_of, mover, placer
from pycnn.nn.layer import Layer
from pycnn.nn.loss import CrossEntropyLoss, Loss
from pycnn.nn.loss_scale import LossScale
from pycnn.nn.optim import Optimizer, clip_grad_norm
from pycnn.nn.schedule import Constant, Plateau, Schedule
from pycnn.runtime.faults import synchronize
from pycnn.runtime.text import printable
from pycnn.train.checkpoint import Checkpoint, save
from pycnn.train.diverged import Diverged, array_not_finite, first_not_finite
from pycnn.train.evaluation import (
    check_dtype,
    check_loss,
    check_precision,
    evaluate,
    weight,
)
from pycnn.train.gradients import gradients
from pycnn.train.history import Epoch
from pycnn.train.interrupt import Interrupted, deferred
from pycnn.train.metadata import restored, same_form
from pycnn.train.settings import differences, settings_of
from pycnn.train.state import StepInfo, TrainState


class Trainer:
    """Trains a classifier: cross-entropy, seeded batches, taps, checkpoints.

    The same seed gives the same weights, bit for bit, also when training was interrupted and
    resumed from a checkpoint. Layers inside the model that are in evaluation mode stay in it; a
    model that is in evaluation mode as a whole goes into training mode. Losses that are shown are
    those of the model's result, without the heads of taps.

    Parameters
    ----------
    model : Layer
        Images (N, C, H, W) to scores (N, classes); float32 or float64, as images then are.
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
    loss : Loss, optional
        Of scores and classes, by "mean" or "sum"; `pycnn.nn.CrossEntropyLoss` by default.
    clip_norm : float, optional
        Largest norm of all gradients together.
    precision : {"float16", "bfloat16"}, optional
        What layers compute in, see `pycnn.grad`; weights, gradients, normalisations and the loss
        stay in float32. With float16 the loss is scaled, and a step that overflows is left out.
    accumulate : int, default 1
        Parts in which the gradients of a batch are computed, one in memory at a time.
    by_step : bool, default False
        Set the schedule's rate before every step, not before every epoch; not with `Plateau`.
    patience : int, optional
        Stop when the test loss has not been the smallest so far for so many epochs.
    checkpoint : Path or str, optional
        Written after every epoch, and when interrupted.
    best : Path or str, optional
        Written after an epoch whose test loss is the smallest so far.

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
        loss: Loss | None = None,
        clip_norm: float | None = None,
        precision: str | None = None,
        accumulate: int = 1,
        by_step: bool = False,
        patience: int | None = None,
        checkpoint: Path | str | None = None,
        best: Path | str | None = None,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch={batch}: allowed are 1 and more")
        if not 1 <= accumulate <= batch:
            raise ValueError(f"accumulate={accumulate}: allowed are 1 to batch={batch}")
        if patience is not None and patience < 1:
            raise ValueError(f"patience={patience}: allowed are 1 and more")
        if by_step and isinstance(schedule, Plateau):
            raise ValueError("by_step=True with Plateau, which goes by the loss of epochs")
        if optimizer.model is not model:
            parts = {id(layer): path for path, layer in model.named_layers()}
            of = parts.get(id(optimizer.model))
            raise ValueError(
                "optimizer is of another model" if of is None else
                f"optimizer is of {of}, a part of the model; allowed: one of the whole model"
            )  # fmt: skip
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError("schedule is of another optimizer")
        if not model.parameters():
            raise ValueError("model has no parameters to train")
        if not len(data.test):
            raise ValueError(f"{data.name} has no images to test with; allowed: 1 and more")
        self.model, self.data, self.optimizer = model, data, optimizer
        self.schedule = schedule or Constant(optimizer)
        self.batch, self.seed, self.transform = batch, seed, transform
        self.loss = CrossEntropyLoss() if loss is None else loss
        check_loss(self.loss, model)
        check_dtype(model)
        self.clip_norm = clip_norm
        check_precision(precision, model)
        self.precision = precision
        self.scale = LossScale() if precision == "float16" else None
        self.accumulate, self.by_step, self.patience = accumulate, by_step, patience
        self.checkpoint = Path(checkpoint) if checkpoint is not None else None
        self.best = Path(best) if best is not None else None
        self.state = TrainState()

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
            If the loss is not finite, or a parameter or buffer at the end of an epoch; names the
            layer that made it so. The last checkpoint stays.
        ValueError
            If the model has become 16-bit, or is in evaluation mode with a part in training mode.
        Interrupted
            After Ctrl-C or SIGTERM, at the end of the step, with a checkpoint written.
        """
        if epochs < 1:
            raise ValueError(f"epochs={epochs}: allowed are 1 and more")
        check_dtype(self.model)
        if not self.model.training:
            for path, layer in self.model.named_layers():
                if layer.training:
                    raise ValueError(
                        f"the model is in evaluation mode, and {path} in training mode; call "
                        "model.train(), then eval() of the layers that are to stay in it"
                    )
            self.model.train()
        with deferred() as interrupted:
            while self.state.epoch < epochs and self._is_patient():
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
        value = self.model.parameters()[0].value
        place, move = placer(value), mover(device_of(value))
        if state.step == 0:
            last = state.history[-1].test_loss if state.history else None
            self.schedule.set(state.epoch, last)
        ordered = batches(
            self.data, "train", self.batch, seed=self.seed, epoch=state.epoch,
            transform=self.transform,
        )  # fmt: skip
        for images, labels in itertools.islice(ordered, state.step, None):
            begin = time.perf_counter()
            if self.by_step:
                self.schedule.set(state.epoch + state.step / self.steps)
            loss, correct = self._step(place(images), move(labels))
            state.step += 1
            state.loss_sum += loss * weight(self.loss, len(images))
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
        factor = 1.0 if self.scale is None else self.scale.scale
        batch = gradients(
            self.model, self.loss, x, labels, precision=self.precision, factor=factor,
            parts=self.accumulate,
        )  # fmt: skip
        if not np.isfinite(batch.total):
            synchronize()  # a label that is no class is another error
            first = first_not_finite(self.model, x)
            raise Diverged(
                f"the loss of step {self.state.step + 1} of epoch {self.state.epoch + 1} is "
                f"{batch.total}; the first to make such a number is {first}"
            )
        if self.scale is None or self.scale.unscaled(self.model):
            if self.clip_norm is not None:
                clip_grad_norm(self.model, self.clip_norm)
            self.optimizer.step()
        return batch.loss, batch.correct

    def _finish_epoch(self) -> None:
        state = self.state
        self._check_finite()
        test_loss, test_accuracy = self.evaluate()
        if not np.isfinite(test_loss):
            raise Diverged(f"the test loss after epoch {state.epoch + 1} is {test_loss}")
        row = Epoch(
            state.epoch + 1, state.loss, state.accuracy, test_loss, test_accuracy,
            self.optimizer.lr, state.seconds, state.images_per_s,
        )  # fmt: skip
        self.state = TrainState(epoch=state.epoch + 1, history=[*state.history, row])
        if self.checkpoint is not None:
            self.save()
        if self.best is not None and self._epochs_without_gain() == 0:
            self.save(self.best)

    def _epochs_without_gain(self) -> int:
        """Epochs since the one with the smallest test loss."""
        losses = [row.test_loss for row in self.state.history]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def _is_patient(self) -> bool:
        return self.patience is None or self._epochs_without_gain() < self.patience

    def _check_finite(self) -> None:
        if name := array_not_finite(self.model):
            raise Diverged(
                f"{name} is not finite after step {self.state.step} of epoch {self.state.epoch + 1}"
            )

    def evaluate(self, part: str = "test") -> tuple[float, float]:
        """Loss and accuracy (0 to 1) on a part of the data, in evaluation mode."""
        return evaluate(self.model, self.data, part, self.loss, self.batch)

    def save(self, path: Path | str | None = None) -> None:
        """Write the checkpoint, by default to where it was said to be.

        Raises
        ------
        ValueError
            If no file was named.
        Diverged
            If a parameter or buffer is not finite; the file stays as it was.
        """
        path = path or self.checkpoint
        if path is None:
            raise ValueError("checkpoint=None: nowhere to save to")
        self._check_finite()
        about = {
            "data": self.data.name,
            "classes": list(self.data.classes),
            "mean": list(map(float, self.data.mean)),
            "std": list(map(float, self.data.std)),
            "input_shape": list(self.data.images.shape[1:]),
            "training": {
                "settings": self._settings(),
                "optimizer_steps": self.optimizer.steps,
                "lr": self.optimizer.lr,
                "schedule": self.schedule.state(),
                "state": asdict(self.state),
                **({} if self.scale is None else {"loss_scale": self.scale.state()}),
            },
        }
        save(path, self.model, about, self.optimizer.state_dict())

    def _settings(self) -> dict[str, Any]:
        return settings_of(
            self.model, self.data, self.optimizer, self.schedule, self.loss, batch=self.batch,
            seed=self.seed, transform=self.transform, clip_norm=self.clip_norm,
            precision=self.precision, accumulate=self.accumulate if self.accumulate > 1 else None,
            by_step=self.by_step or None,
        )  # fmt: skip

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same training.

        Raises
        ------
        ValueError
            If any setting is another than the checkpoint's, which are all named, or if it is of a
            model alone.
        """
        training = checkpoint.about.get("training")
        if not training:
            raise ValueError("the checkpoint holds a model alone, and no training to resume")
        theirs = training.get("settings") if isinstance(training, dict) else None
        if not isinstance(theirs, dict):
            raise ValueError("the checkpoint does not say with which settings it was trained")
        if changed := differences(self._settings(), theirs):
            raise ValueError(printable("; ".join(changed)))
        state = self._state_in(training)
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer, training["optimizer_steps"])
        self.optimizer.lr = training["lr"]
        self.schedule.load_state(training["schedule"])
        if self.scale is not None:
            self.scale.load_state(training["loss_scale"])
        self.state = state

    def _state_in(self, training: dict[str, Any]) -> TrainState:
        """How far the training of a file was, and a look at all else that is taken from it."""
        try:
            rows = [restored(Epoch, row) for row in training["state"]["history"]]
            state = restored(TrainState, {**training["state"], "history": rows})
            own = {"optimizer_steps": 0, "lr": 0.0, "schedule": self.schedule.state()}
            if self.scale is not None:
                own["loss_scale"] = self.scale.state()
            saved = {name: training[name] for name in own}
            if not same_form(saved, own) or state.step > self.steps:
                raise ValueError(printable(saved, 200))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"the checkpoint's record of its training is of another form: {error}"
            ) from error
        return state
