"""Loss and metrics of a model on a part of the data."""

from collections.abc import Mapping
from typing import Any

from pycnn.data import Arrays, DataSet, batches
from pycnn.nn.arrays import device_of, mover
from pycnn.nn.layer import Layer
from pycnn.nn.loss import CrossEntropyLoss
from pycnn.nn.observe import evaluating
from pycnn.runtime.faults import synchronize
from pycnn.train.checks import check_loss
from pycnn.train.gradients import Metric, accuracy, counted, is_sum, measured
from pycnn.train.state import Means


def evaluate(
    model: Layer,
    data: DataSet | Arrays,
    part: str = "test",
    loss: Any = None,
    batch: int = 64,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    """Loss and metrics of a model on a part of a data set, in evaluation mode.

    Parameters
    ----------
    model : Layer
        Every layer is left in the mode it was in.
    data : DataSet or Arrays
    part : {"test", "train"}, default "test"
    loss : callable, optional
        As of a `Trainer`; `pycnn.nn.CrossEntropyLoss` by default. Where examples have weights, by
        their classes, the mean is by these weights, in batches of any size.
    batch : int, default 64
    metrics : mapping of str to callable, optional
        As of a `Trainer`.

    Returns
    -------
    dict of str to float
        "loss", and every metric, means over the part.

    Raises
    ------
    ValueError
        If there are no such examples.
    TypeError
        If the loss is no function, or takes no classes where they are the targets.

    Examples
    --------
    >>> from pycnn import data, nn, train
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, init="zeros"))
    >>> figures = train.evaluate(model, data.load("digits"))
    >>> {name: round(value, 3) for name, value in figures.items()}
    {'loss': 2.303, 'accuracy': 0.1}
    """
    loss = CrossEntropyLoss() if loss is None else loss
    check_loss(loss, model, data)
    if not len(data.part(part)):
        raise ValueError(f"{data.name} has no images in {part!r}")
    metrics, means = metrics_of(loss, metrics), Means()
    place = placer_of(model)
    with evaluating(model):
        for inputs, target in batches(data, part, batch, seed=0, epoch=0):
            inputs, target = place(inputs, target)
            outputs = model(*inputs)
            examples = len(inputs[0])
            weight = examples if is_sum(loss) else counted(loss, target)
            value = float(loss(outputs, target)) / (examples if is_sum(loss) else 1)
            means.add(value, weight, examples, measured(metrics, outputs, target))
    synchronize()
    return {"loss": means.loss, **means.metrics}


def metrics_of(loss: Any, metrics: Mapping[str, Metric] | None) -> Mapping[str, Metric]:
    """Those that are asked for; accuracy where the targets are classes."""
    if metrics is not None:
        return metrics
    return {"accuracy": accuracy} if getattr(loss, "takes_classes", False) else {}


def placer_of(model: Layer) -> Any:
    """What brings a batch to the device of a model, and what is floating to its dtype."""
    like = model.parameters()[0].value
    move = mover(device_of(like))

    def one(array: Any) -> Any:
        return move(array.astype(like.dtype, copy=False) if array.dtype.kind == "f" else array)

    def place(inputs: Any, target: Any) -> tuple[tuple[Any, ...], Any]:
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        placed = tuple(map(one, target)) if isinstance(target, tuple) else one(target)
        return tuple(map(one, inputs)), placed

    return place
