"""The loop that trains a model, and everything that makes it safe to interrupt."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.data import Arrays, DataSet, Mix, Transform
from pycnn.data.batching import shares
from pycnn.define.validate import integer
from pycnn.nn.clip import checked_norm
from pycnn.nn.layer import Layer
from pycnn.nn.loss import CrossEntropyLoss
from pycnn.nn.loss_scale import LossScale
from pycnn.nn.optimizer import Optimizer
from pycnn.nn.schedule import Constant, Schedule
from pycnn.train import record
from pycnn.train.checkpoint import Checkpoint, save
from pycnn.train.checks import (
    check_dtype,
    check_hooks,
    check_loss,
    check_metrics,
    check_mode,
    check_optimizer,
    check_parts,
    check_precision,
    check_schedule,
)
from pycnn.train.diverged import Diverged, array_not_finite
from pycnn.train.evaluation import evaluate, metrics_of, placer_of
from pycnn.train.gradients import Metric, is_sum
from pycnn.train.graph_steps import GraphSteps
from pycnn.train.history import Epoch
from pycnn.train.hooks import Hook
from pycnn.train.interrupt import Interrupted, deferred
from pycnn.train.parallel import Communicator, processes
from pycnn.train.settings import identity
from pycnn.train.state import StepInfo, TrainState
from pycnn.train.steps import PlainSteps


class Trainer:
    """Trains a model: seeded batches, taps, metrics, checkpoints.

    The same seed gives the same weights, bit for bit, also when training was interrupted and
    resumed from a checkpoint. Layers inside the model that are in evaluation mode stay in it; a
    model that is in evaluation mode as a whole goes into training mode. Losses that are shown are
    those of the model's result, without the heads of taps.

    Parameters
    ----------
    model : Layer
        Takes the inputs of the data, float32 or float64, as floating-point inputs and targets then
        are.
    data : DataSet or Arrays
        Labelled images, or examples of any form: several inputs, masks, numbers to predict.
    optimizer : Optimizer
        Of `model`.
    schedule : Schedule, optional
        Of `optimizer`; constant by default.
    batch : int, default 64
    seed : int, default 0
        Of the order of examples, of `transform`, `mix` and dropout.
    transform : callable, optional
        Augmentation of images, see `pycnn.data.batches`.
    mix : callable, optional
        Of inputs and target together, see `pycnn.data.batches`; not in evaluation.
    loss : callable, optional
        ``loss(result, target)``, one number: a `pycnn.nn.Loss`, or a function of your own that is
        the mean over examples; `pycnn.nn.CrossEntropyLoss` by default. Its attribute ``count``,
        where it has one, says of a target what the mean is over.
    metrics : mapping of str to callable, optional
        ``metric(result, target)``, means over the examples of a batch, which are shown and kept
        beside the loss; by default "accuracy" where the loss takes classes.
    hooks : sequence of Hook, optional
        What of one's own happens at a step, and after an epoch.
    clip_norm : float, optional
        Largest norm of all gradients together.
    precision : {"float16", "bfloat16"}, optional
        What layers compute in, see `pycnn.grad`; weights, gradients, normalisations and the loss
        stay in float32. With float16 the loss is scaled, and a step that overflows is left out.
    accumulate : int, optional
        Parts in which the gradients of a batch are computed, one in memory at a time; a multiple of
        the number of processes, which it is by default.
    by_step : bool, default False
        Set the schedule's rate before every step, not before every epoch; not with `Plateau`.
    patience : int, optional
        Stop when the test loss has not been the smallest so far for so many epochs.
    checkpoint : Path or str, optional
        Written after every epoch, and when interrupted.
    best : Path or str, optional
        Written after an epoch whose test loss is the smallest so far.
    graph : bool, default False
        Make every step one CUDA graph, see `CompiledStep`, of which it has the limits: no dropout,
        whole batches, one process, no hook between backward and the step. A loss that is no number
        is found after the step. Of a model on a GPU.
    comm : Communicator, optional
        The processes that share the work; those that were launched together, `train.processes()`,
        by default. Each runs the same program, and computes its parts of every batch; weights and
        figures are the same bits on all of them, and as of one process with the same `accumulate`.
        The first one writes files.
    sync_batch_norm : bool, default False
        Batch normalisation by the whole batch, not by the part of each process; one part each.

    Examples
    --------
    >>> from pycnn import data, nn, train
    >>> digits = data.load("digits")
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> trainer = train.Trainer(model, digits, nn.Adam(model, lr=1e-2))
    >>> history = trainer.fit(epochs=3)
    >>> history[-1].test_accuracy > 0.85
    True

    A line through points:

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    >>> line = data.Arrays(name="line", inputs=x, target=3 * x + 1, train=np.arange(0, 50, 2),
    ...                    test=np.arange(1, 50, 2))
    >>> model = nn.Linear(1, 1)
    >>> far = {"furthest": lambda y, target: abs(y - target).max()}
    >>> trainer = train.Trainer(model, line, nn.SGD(model, 0.5), loss=nn.MSELoss(), metrics=far)
    >>> trainer.fit(epochs=100)[-1].test_metrics["furthest"] < 1e-3
    True
    """

    def __init__(
        self,
        model: Layer,
        data: DataSet | Arrays,
        optimizer: Optimizer,
        schedule: Schedule | None = None,
        *,
        batch: int = 64,
        seed: int = 0,
        transform: Transform | None = None,
        mix: Mix | None = None,
        loss: Callable[[Any, Any], Any] | None = None,
        metrics: Mapping[str, Metric] | None = None,
        hooks: Sequence[Hook] = (),
        clip_norm: float | None = None,
        precision: str | None = None,
        accumulate: int | None = None,
        by_step: bool = False,
        patience: int | None = None,
        checkpoint: Path | str | None = None,
        best: Path | str | None = None,
        graph: bool = False,
        comm: Communicator | None = None,
        sync_batch_norm: bool = False,
    ) -> None:
        batch, seed = integer("batch", batch, 1), integer("seed", seed, 0, None)
        self.comm = processes() if comm is None else comm
        accumulate = self.comm.size if accumulate is None else accumulate
        check_parts(accumulate, batch, data, self.comm.size, sync_batch_norm)
        self.sync_batch_norm = bool(sync_batch_norm)
        if patience is not None:
            integer("patience", patience, 1)
        if best is not None and checkpoint is not None and Path(best) == Path(checkpoint):
            raise ValueError(f"best and checkpoint are both {best}; allowed: a file of its own")
        check_optimizer(optimizer, model)
        check_schedule(schedule, optimizer, by_step)
        if not model.parameters():
            raise ValueError("model has no parameters to train")
        if not len(data.test):
            raise ValueError(f"{data.name} has no images to test with; allowed: 1 and more")
        self.model, self.optimizer = model, optimizer
        self.data: Any = data
        self.schedule = schedule or Constant(optimizer)
        self.batch, self.seed, self.transform, self.mix = batch, seed, transform, mix
        self.loss = CrossEntropyLoss() if loss is None else loss
        check_loss(self.loss, model, data, mixed=mix is not None)
        self.metrics = metrics_of(self.loss, metrics)
        check_metrics(self.metrics)
        check_hooks(hooks)
        self.hooks = list(hooks)
        check_dtype(model)
        self.clip_norm = None if clip_norm is None else checked_norm("clip_norm", clip_norm)
        check_precision(precision, model)
        self.precision = precision
        self.scale = LossScale() if precision == "float16" else None
        self.accumulate, self.by_step, self.patience = accumulate, by_step, patience
        self.checkpoint = Path(checkpoint) if checkpoint is not None else None
        self.best = Path(best) if best is not None else None
        self.state = TrainState()
        self._move: GraphSteps | PlainSteps = (
            GraphSteps(self, self.comm)
            if graph
            else PlainSteps(self, self.comm, lambda: self._interrupted())
        )
        #: Whether this process was asked to stop, and whether any was when the step was computed.
        self._interrupted: Callable[[], bool] = lambda: False
        self._noted = False

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
        integer("epochs", epochs, 1)
        check_dtype(self.model)
        check_mode(self.model)
        if self.comm.size > 1:
            self.comm.require_same(identity(self))
        stopped = False
        with deferred() as interrupted:
            self._interrupted = interrupted
            while self.state.epoch < epochs and self._is_patient() and not stopped:
                for info in self._epoch():
                    callback(info)
                    if self._noted or (self.comm.size == 1 and interrupted()):
                        self._stop()
                row = self._finish_epoch()
                for hook in self.hooks:
                    stopped = bool(hook.epoch(self, row)) or stopped
                stopped = any(self.comm.everyones(stopped))
                if any(self.comm.everyones(interrupted())) and self.state.epoch < epochs:
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
        place = placer_of(self.model)
        if state.step == 0:
            last = state.history[-1].test_loss if state.history else None
            self.schedule.set(state.epoch, last)
        own = range(self.comm.rank, self.accumulate, self.comm.size)
        ordered = shares(
            self.data, "train", self.batch, seed=self.seed, epoch=state.epoch,
            parts=self.accumulate, own=own, numbers=slice(state.step, None),
            transform=self.transform, mix=self.mix,
        )  # fmt: skip
        for parts in ordered:
            begin = time.perf_counter()
            if self.by_step:
                self.schedule.set(state.epoch + state.step / self.steps)
            self._step([None if part is None else place(*part) for part in parts])
            state.step += 1
            state.seconds += time.perf_counter() - begin
            info = StepInfo(
                state.epoch + 1, state.step, self.steps, state.loss, state.metrics,
                state.images_per_s,
            )  # fmt: skip
            for hook in self.hooks:
                hook.step(self, info)
            yield info

    def _step(self, parts: list[Any]) -> None:
        """One move of the parameters, and the figures of the batch before it."""
        batch = self._move(parts)
        self._noted = batch.noted
        loss = batch.loss / batch.examples if is_sum(self.loss) else batch.loss
        self.state.add(loss, batch.weight, batch.examples, batch.metrics)

    def _finish_epoch(self) -> Epoch:
        state = self.state
        self._check_finite()
        test = self.evaluate()
        test_loss = test.pop("loss")
        if not np.isfinite(test_loss):
            raise Diverged(f"the test loss after epoch {state.epoch + 1} is {test_loss}")
        row = Epoch(
            state.epoch + 1, state.loss, state.metrics, test_loss, test, float(self.optimizer.lr),
            state.seconds, state.images_per_s,
        )  # fmt: skip
        self.state = TrainState(epoch=state.epoch + 1, history=[*state.history, row])
        if self.checkpoint is not None:
            self.save()
        if self.best is not None and self._epochs_without_gain() == 0:
            self.save(self.best)
        return row

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

    def evaluate(self, part: str = "test") -> dict[str, float]:
        """Loss and metrics on a part of the data, in evaluation mode; see `train.evaluate`."""
        return evaluate(
            self.model, self.data, part, self.loss, self.batch, self.metrics, comm=self.comm
        )

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
        if self.comm.rank == 0:
            save(path, self.model, record.of(self), self.optimizer.state_dict())
        self.comm.everyones(None)  # who reads it now finds it complete

    def resume(self, checkpoint: Checkpoint, change: Collection[str] = ()) -> None:
        """Go on from a checkpoint of the same training.

        Parameters
        ----------
        checkpoint : Checkpoint
            As `pycnn.train.load` reads it.
        change : collection of str, optional
            Names of settings that are another now and are meant to be, such as "lr", "batch" or
            "patience"; "loss", "optimizer" and "schedule" with all that they were made with. With
            another rate or schedule, the schedule begins anew; with another optimizer, its state.

        Raises
        ------
        ValueError
            If any other setting is another than the checkpoint's, which are all named, one of
            `change` is the same, or the checkpoint is of a model alone.
        """
        record.resume(self, checkpoint, change)
        if isinstance(self._move, GraphSteps):  # the optimiser's state lies elsewhere now
            self._move = GraphSteps(self, self.comm)
