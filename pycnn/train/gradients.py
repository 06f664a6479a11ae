"""The gradients of one batch, in one go or in parts."""

from typing import Any, NamedTuple

from pycnn.nn.combine import taps
from pycnn.nn.layer import Layer
from pycnn.nn.loss import Loss
from pycnn.tape import grad


class Batch(NamedTuple):
    """Figures of a batch: its loss, the loss with those of taps, correct classifications."""

    loss: float
    total: float
    correct: int


def gradients(
    model: Layer,
    loss: Loss,
    x: Any,
    labels: Any,
    *,
    precision: str | None = None,
    factor: float = 1.0,
    parts: int = 1,
) -> Batch:
    """Add the gradients of a batch to those of the layers, times `factor`.

    Of a batch in `parts` one part at a time is in memory. Gradients are those of the whole batch,
    but for layers that look at a batch as a whole, such as batch normalisation.
    """
    sums = loss.settings.get("reduction") == "sum"
    whole = total = 0.0
    correct = 0
    for i in range(parts):
        part = slice(len(x) * i // parts, len(x) * (i + 1) // parts)
        share = 1.0 if sums else (part.stop - part.start) / len(x)
        if part.start == part.stop:  # the last batch of an epoch may be small
            continue
        with grad(precision) as tape:
            scores = model(x[part])
            own = together = loss(scores, labels[part])
            for tap in taps(model):
                if tap.training:
                    together = together + tap.weight * loss(tap.output, labels[part])
        whole += share * float(own)
        total += share * float(together)
        correct += int((scores.value.argmax(axis=1) == labels[part]).sum())
        weight = share * factor
        tape.backward(together if weight == 1.0 else together * weight)
    return Batch(whole, total, correct)
