"""What is asked of a model, a loss and settings before training begins."""

from collections.abc import Sequence
from typing import Any

from pycnn.data import DataSet
from pycnn.define.validate import integer
from pycnn.nn.activation import Softmax
from pycnn.nn.classifier import last_layer
from pycnn.nn.layer import Layer
from pycnn.nn.loss import CrossEntropyLoss, Loss
from pycnn.nn.optimizer import Optimizer
from pycnn.nn.schedule import Plateau, Schedule
from pycnn.tape import grad
from pycnn.train.hooks import Hook

#: What training works in: steps are too small for 16 bits.
DTYPES = ("float32", "float64")


def check_loss(loss: Any, model: Layer, data: Any, mixed: bool = False) -> None:
    """Of scores and classes for labelled images; `mixed` where targets are no labels any more."""
    name = type(loss).__name__
    takes_classes = getattr(loss, "takes_classes", not isinstance(loss, Loss))
    if not callable(loss) or (isinstance(data, DataSet) and not mixed and not takes_classes):
        raise TypeError(
            f"loss is of type {name}; allowed: CrossEntropyLoss, NLLLoss, or a Loss of your own "
            "with takes_classes = True, or a function: the targets of a DataSet are classes; those "
            "of pycnn.data.Arrays are anything"
        )
    if getattr(loss, "settings", {}).get("reduction") == "none":
        raise ValueError(f"loss {name} has reduction='none'; allowed are 'mean', 'sum'")
    if getattr(loss, "takes_classes", False) and isinstance(last_layer(model), Softmax):
        raise ValueError(
            f"the model ends in Softmax; {name} takes "
            f"{'scores' if isinstance(loss, CrossEntropyLoss) else 'LogSoftmax'}"
        )


def check_dtype(model: Layer) -> None:
    arrays = [array for array in model.state_dict().values() if array.dtype.kind not in "biu"]
    dtypes = sorted({array.dtype.name for array in arrays})
    if len(dtypes) > 1 or dtypes[0] not in DTYPES:
        raise ValueError(
            f"the model is {' and '.join(dtypes)}; allowed for training: {' or '.join(DTYPES)}. "
            "Train so, and convert afterwards, by model.to"
        )


def check_precision(precision: str | None, model: Layer) -> None:
    grad(precision)  # refuses what it does not have
    name = model.parameters()[0].value.dtype.name
    if precision is not None and name != "float32":
        raise ValueError(f"precision={precision!r} for a model in {name}; allowed: in float32")


def check_optimizer(optimizer: Optimizer, model: Layer) -> None:
    if optimizer.model is not model:
        parts = {id(layer): path for path, layer in model.named_layers()}
        of = parts.get(id(optimizer.model))
        raise ValueError(
            "optimizer is of another model" if of is None else
            f"optimizer is of {of}, a part of the model; allowed: one of the whole model"
        )  # fmt: skip


def check_metrics(metrics: Any) -> None:
    for name, metric in metrics.items():
        if not callable(metric) or name in ("loss", "lr", "epoch", "seconds", "images_per_s"):
            raise ValueError(
                f"metrics[{name!r}]={metric!r}; allowed: names of their own, of functions of "
                "outputs and targets"
            )


def check_mode(model: Layer) -> None:
    """A model that is in evaluation mode as a whole is put into training mode."""
    if not model.training:
        for path, layer in model.named_layers():
            if layer.training:
                raise ValueError(
                    f"the model is in evaluation mode, and {path} in training mode; call "
                    "model.train(), then eval() of the layers that are to stay in it"
                )
        model.train()


def check_hooks(hooks: Sequence[Hook]) -> None:
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise TypeError(f"hooks has {hook!r}; allowed: of classes derived from Hook")


def check_schedule(schedule: Schedule | None, optimizer: Optimizer, by_step: bool) -> None:
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError("schedule is of another optimizer")
    if by_step and isinstance(schedule, Plateau):
        raise ValueError("by_step=True with Plateau, which goes by the loss of epochs")


def check_parts(
    accumulate: int, batch: int, data: Any, processes: int, sync_batch_norm: bool
) -> None:
    """The parts of a batch: as many for each process, and none without examples."""
    integer("accumulate", accumulate, 1)
    if accumulate % processes:
        raise ValueError(f"accumulate={accumulate} on {processes} processes: allowed are multiples")
    last = len(data.train) % batch or batch
    if sync_batch_norm and (accumulate != processes or last < accumulate):
        raise ValueError(
            f"sync_batch_norm with accumulate={accumulate} and a last batch of {last}; "
            f"allowed: a part on each of the {processes} processes"
        )
    if accumulate > batch:
        on = f" on {processes} processes" if processes > 1 else ""
        raise ValueError(f"accumulate={accumulate}{on}: allowed are 1 to batch={batch}")
