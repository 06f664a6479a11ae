"""The steps of a trainer as CUDA graphs."""

from typing import Any

from pycnn.nn.arrays import device_of
from pycnn.train.compiled_step import CompiledStep
from pycnn.train.gradients import Batch, counted, is_sum, measured
from pycnn.train.hooks import Hook
from pycnn.train.parallel import Communicator
from pycnn.train.steps import check_loss_is_finite
from pycnn.train.training import Training


class GraphSteps:
    """Makes the steps of a trainer, one `CompiledStep` for each form of a batch.

    Raises
    ------
    ValueError
        If the trainer does what a graph cannot hold.
    """

    def __init__(self, trainer: Training, comm: Communicator) -> None:
        like = trainer.model.parameters()[0].value
        if device_of(like) == "cpu":
            raise ValueError(
                "graph=True with a model on the CPU, where there are no CUDA graphs; allowed: "
                'after model.to("cuda")'
            )
        if trainer.accumulate > 1 or comm.size > 1:
            raise ValueError(
                f"graph=True with accumulate={trainer.accumulate} on {comm.size} processes; "
                "allowed: whole batches on one process"
            )
        for hook in trainer.hooks:
            if type(hook).gradients is not Hook.gradients:
                raise ValueError(
                    f"graph=True with {type(hook).__name__}.gradients, which has no place between "
                    "backward and the step of one graph; allowed: hooks of steps and epochs"
                )
        self._trainer, self._comm = trainer, comm
        self._steps: dict[Any, CompiledStep] = {}

    def __call__(self, parts: list[Any]) -> Batch:
        """Move the parameters; the figures of the batch before it, without the losses of taps."""
        trainer, loss, ((inputs, target),) = self._trainer, self._trainer.loss, parts
        several = target if isinstance(target, tuple) else (target,)
        form = tuple([(array.shape, array.dtype) for array in (*inputs, *several)])
        step = self._steps.get(form)
        if step is None:
            step = self._steps[form] = CompiledStep(
                trainer.model, loss, trainer.optimizer, inputs, target, scale=trainer.scale,
                clip_norm=trainer.clip_norm, precision=trainer.precision,
            )  # fmt: skip
        own, outputs = step(inputs, target)
        step.settle()  # the loss is waited for as well
        examples, value = len(inputs[0]), float(own)
        check_loss_is_finite(trainer, self._comm, value, parts)
        weight = float(examples) if is_sum(loss) else counted(loss, target)
        return Batch(value, value, measured(trainer.metrics, outputs, target), examples, weight)
