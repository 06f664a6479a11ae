"""The gradients of one batch, in one go or in parts, and what figures are means over."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pycnn.nn.combine import taps
from pycnn.nn.layer import FLOAT32, Layer
from pycnn.tape import Tape, Variable, grad, plain

#: Of outputs and targets: their mean over a batch.
Metric = Callable[[Any, Any], Any]


class Batch(NamedTuple):
    """Figures of a batch: its loss, the loss with those of taps, metrics."""

    loss: float
    total: float
    metrics: dict[str, float]


def accuracy(scores: Any, classes: Any) -> float:
    """The share of scores (N, classes, ...) that are largest where the target is.

    Parameters
    ----------
    scores : array
    classes : array
        Numbers of classes, (N, ...), or probabilities of the form of `scores`.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import train
    >>> train.accuracy(np.array([[0.1, 2.0], [1.0, -1.0]]), np.array([1, 1]))
    0.5
    """
    if classes.shape == scores.shape:
        classes = classes.argmax(axis=1)
    return float((scores.argmax(axis=1) == classes).mean())


def gradients(
    model: Layer,
    loss: Callable[[Any, Any], Any],
    inputs: tuple[Any, ...],
    target: Any,
    *,
    metrics: Mapping[str, Metric],
    precision: str | None = None,
    factor: float = 1.0,
    parts: int = 1,
) -> Batch:
    """Add the gradients of a batch to those of the layers, times `factor`.

    Of a batch in `parts` one part at a time is in memory. Gradients are those of the whole batch,
    but for layers that look at a batch as a whole, such as batch normalisation.
    """
    whole = total = 0.0
    sums = dict.fromkeys(metrics, 0.0)
    examples = len(inputs[0])
    count = 0.0 if is_sum(loss) or parts == 1 else counted(loss, target)
    for i in range(parts):
        part = slice(examples * i // parts, examples * (i + 1) // parts)
        if part.start == part.stop:  # the last batch of an epoch may be small
            continue
        own_target = cut(target, part)
        share = counted(loss, own_target) / count if count else 1.0
        with grad(precision) as tape:
            outputs = _converted(model(*(x[part] for x in inputs)), precision)
            own = together = loss(outputs, own_target)
            for tap in taps(model):
                if tap.training:
                    together = together + tap.weight * loss(tap.output, own_target)
        for name, value in measured(metrics, outputs, own_target).items():
            sums[name] += value * (part.stop - part.start) / examples
        if share == 0:  # of classes that are ignored: the mean over none is no number
            continue
        whole += share * float(own)
        total += share * float(together)
        weight = share * factor
        tape.backward(together if weight == 1.0 else together * weight)
    return Batch(whole, total, sums)


def _converted(outputs: Any, precision: str | None) -> Any:
    """Of layers that computed in 16 bits, in float32 for the loss."""
    if precision is None:
        return outputs
    if isinstance(outputs, tuple):
        return tuple(_converted(one, precision) for one in outputs)
    return Tape.convert(outputs, FLOAT32) if isinstance(outputs, Variable) else outputs


def measured(metrics: Mapping[str, Metric], outputs: Any, target: Any) -> dict[str, float]:
    """Every metric of a batch."""
    outputs = plain(outputs)
    return {name: float(metric(outputs, target)) for name, metric in metrics.items()}


def cut(target: Any, part: Any) -> Any:
    """Some examples of a target, which may be several arrays."""
    return tuple(one[part] for one in target) if isinstance(target, tuple) else target[part]


def is_sum(loss: Any) -> bool:
    """Whether a loss is the sum over a batch, not the mean."""
    return bool(getattr(loss, "settings", {}).get("reduction") == "sum")


def counted(loss: Any, target: Any) -> float:
    """What a loss is the mean over: of its own, see `Loss.count`; else examples."""
    if hasattr(loss, "count"):
        return float(loss.count(target))
    return len(target[0] if isinstance(target, tuple) else target)
