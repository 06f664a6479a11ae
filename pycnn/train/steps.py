"""The steps of a trainer, operation by operation; `graph_steps` has them as CUDA graphs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.nn.loss_scale import LossScale
from pycnn.nn.optimizer import Optimizer
from pycnn.runtime.faults import synchronize
from pycnn.train.diverged import NOWHERE, Diverged, first_not_finite
from pycnn.train.gradients import Batch, gradients
from pycnn.train.parallel import Communicator
from pycnn.train.training import Training


class PlainSteps:
    """Moves the parameters of a trainer.

    Parameters
    ----------
    trainer : Training
    comm : Communicator
    noted : callable
        Asked in every step, see `gradients`.
    """

    def __init__(self, trainer: Training, comm: Communicator, noted: Callable[[], bool]) -> None:
        self._trainer, self._comm, self._noted = trainer, comm, noted

    def __call__(self, parts: list[Any]) -> Batch:
        """Move the parameters; the figures of the batch before it."""
        trainer, comm = self._trainer, self._comm
        first = trainer.optimizer.steps * trainer.accumulate
        batch = gradients(
            trainer.model, trainer.loss, parts, metrics=trainer.metrics,
            precision=trainer.precision,
            factor=1.0 if trainer.scale is None else trainer.scale.scale,
            seeds=lambda part: trainer.model.reseed(trainer.seed, first + part), comm=comm,
            synchronised=trainer.sync_batch_norm and comm.size > 1, noted=self._noted,
        )  # fmt: skip
        check_loss_is_finite(trainer, comm, batch.total, parts)
        for hook in trainer.hooks:
            hook.gradients(trainer)
        moved(trainer.optimizer, trainer.scale, trainer.clip_norm)
        return batch


def moved(optimizer: Optimizer, scale: LossScale | None, clip_norm: float | None) -> bool:
    """Take a step; an optimiser of one's own is told of nothing that nobody asked for."""
    asked: dict[str, Any] = {"scale": scale, "clip_norm": clip_norm}
    return optimizer.step(**{name: value for name, value in asked.items() if value is not None})


def check_loss_is_finite(
    trainer: Training, comm: Communicator, total: float, parts: list[Any]
) -> None:
    """Say what made the loss what is no number."""
    if np.isfinite(total):
        return
    synchronize()  # a label that is no class is another error
    found = [first_not_finite(trainer.model, *part[0]) for part in parts if part is not None]
    said = [one for rank in comm.everyones(found) for one in rank]
    first = next((one for one in said if one != NOWHERE), NOWHERE)
    raise Diverged(
        f"the loss of step {trainer.state.step + 1} of epoch {trainer.state.epoch + 1} is "
        f"{total}; the first to make such a number is {first}"
    )
