"""The gradients of one batch, in one go or in parts, and what figures are means over."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from pycnn.nn.combine import taps
from pycnn.nn.layer import FLOAT32, Layer
from pycnn.nn.statistics import Moments, gathered, move
from pycnn.runtime.context import held
from pycnn.tape import Tape, Variable, grad, plain
from pycnn.tape.tape import Ready
from pycnn.train.figures import Figures, of_all
from pycnn.train.parallel.batch_norm import normalised
from pycnn.train.parallel.communicator import ALONE, Communicator
from pycnn.train.parallel.sums import Sums

#: Of outputs and targets: their mean over a batch.
Metric = Callable[[Any, Any], Any]


class Batch(NamedTuple):
    """Figures of a batch: its loss, the loss with those of taps, metrics, examples, their weight.

    The weight is what the loss is the mean over, see `Loss.count`. `noted` is what `gradients` was
    to ask for.
    """

    loss: float
    total: float
    metrics: dict[str, float]
    examples: int
    weight: float
    noted: bool = False


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
    parts: Sequence[tuple[tuple[Any, ...], Any] | None],
    *,
    metrics: Mapping[str, Metric],
    precision: str | None = None,
    factor: float = 1.0,
    seeds: Callable[[int], Any] = lambda part: None,
    comm: Communicator = ALONE,
    synchronised: bool = False,
    noted: Callable[[], bool] = lambda: False,
) -> Batch:
    """Set the gradients of the layers to those of a batch, times `factor`.

    Parameters
    ----------
    parts : sequence of (inputs, target) or None
        Of the batch, those that this process computes, one in memory at a time: of n processes the
        r-th has the parts r, r + n, ...; None is one without examples. Gradients are those of the
        whole batch, but for layers that look at a batch as a whole, such as batch normalisation,
        whose running statistics move by one part after the other.
    seeds : callable, optional
        Called with the number of a part before it is computed.
    comm : Communicator, optional
        The processes that have the other parts.
    synchronised : bool, default False
        Batch normalisation by the statistics of all parts, of which each process has one.
    noted : callable, optional
        Asked when all parts are computed; whether it says so on any process is in the `Batch`.

    Returns
    -------
    Batch
        The same on all processes; and bit for bit the same, as gradients are, however many there
        are.
    """
    model.zero_grad()
    sizes = _Sizes(comm, [None if part is None else _size(loss, part) for part in parts])
    one = len(parts) * comm.size == 1
    layers = [] if one else [layer for _, layer in model.named_layers()]
    places = {layer: place for place, layer in enumerate(layers)}
    sums = Sums(comm, model, len(parts)) if comm.size > 1 else None

    def begin(i: int) -> float:
        """Of the i-th part here: its share in the batch, which hangs on the others' sizes."""
        if sums is not None:
            sums.begin(sizes.present(i))
        return 1.0 if one or is_sum(loss) else sizes.share(i)

    figures: list[Figures | None] = []
    for i, part in enumerate(parts):
        if part is None:  # the last batch of an epoch may be small
            begin(i)
            figures.append(None)
        else:
            seeds(i * comm.size + comm.rank)
            moments = Moments(partial(normalised, others=comm) if synchronised else None)
            with held(gathered, None if one else moments):
                found = _of_part(
                    model, loss, part, metrics, precision, partial(begin, i),
                    lambda: sizes.weight, factor,
                    ready=None if sums is None else sums.ready, waited_for=synchronised,
                )  # fmt: skip
            found.moments.extend((places[layer], mean, var) for layer, mean, var in moments)
            figures.append(found)
        if sums is not None:
            sums.end()
    flags = [noted(), *(() if sums is None else sums.reached)]
    if sums is None:
        told, theirs = of_all(comm, flags, figures, metrics, layers)
    else:
        told, theirs = of_all(comm, flags, figures, metrics, layers, sums.join)
        sums.finish(told[1:])
    whole = total = 0.0
    means = dict.fromkeys(metrics, 0.0)
    moved_by = theirs[0]
    for size, figure in zip(sizes.all, theirs, strict=True):
        if size is None or figure is None:
            continue
        whole += figure.loss
        total += figure.total
        for name, value in figure.metrics.items():
            means[name] += value * size.examples / sizes.examples
        if not synchronised or figure is moved_by:  # all have the same statistics
            for place, mean, var in figure.moments:
                move(layers[place], mean, var)
    weight = float(sizes.examples) if is_sum(loss) else sizes.weight
    return Batch(whole, total, means, sizes.examples, weight, told[0])


class _Size(NamedTuple):
    """Examples of a part, and what its loss is the mean over."""

    examples: int
    weight: float


class _Sizes:
    """Sizes of all parts: those of the others come while the first one here is computed."""

    def __init__(self, comm: Communicator, own: list[_Size | None]) -> None:
        self._comm, self._own = comm, own
        self._rows = comm.rows(np.array([(-1, 0) if size is None else size for size in own], float))

    @cached_property
    def all(self) -> list[_Size | None]:
        """In the order of the parts; None of one without examples."""
        in_order = np.swapaxes(self._rows.result(), 0, 1).reshape(-1, 2).tolist()
        return [None if count < 0 else _Size(int(count), weight) for count, weight in in_order]

    @cached_property
    def examples(self) -> int:
        return sum(size.examples for size in self.all if size is not None)

    @cached_property
    def weight(self) -> float:
        return sum(size.weight for size in self.all if size is not None)

    def present(self, i: int) -> list[bool]:
        """By rank, who has an i-th part."""
        each = self._comm.size
        return [size is not None for size in self.all[i * each : (i + 1) * each]]

    def share(self, i: int) -> float:
        """Of the i-th part here in the batch."""
        size = self._own[i]
        return size.weight / self.weight if size is not None and self.weight else 1.0


def _size(loss: Any, part: tuple[tuple[Any, ...], Any]) -> _Size:
    (first, *_), target = part
    return _Size(len(first), counted(loss, target))


def _of_part(
    model: Layer, loss: Any, part: Any, metrics: Mapping[str, Metric], precision: str | None,
    begin: Callable[[], float], whole: Callable[[], float], factor: float, *,
    ready: Ready | None, waited_for: bool,
) -> Figures:  # fmt: skip
    """Add the gradients of a part, times `factor` and its share in the batch.

    The share is what `begin` returns, which is called before the way back; `whole` is what the loss
    of the whole batch counts. Where others wait for it, a part goes all the way back even if it has
    no share.
    """
    inputs, target = part

    def losses(loss: Any) -> tuple[Any, Any]:
        """Of the result, and with those of taps."""
        own = together = loss(outputs, target)
        for tap in taps(model):
            if tap.training:
                together = together + tap.weight * loss(tap.output, target)
        return own, together

    with grad(precision) as tape:
        outputs = converted(model(*inputs), precision)
        own, together = losses(loss)
    share = begin()
    found = measured(metrics, outputs, target)
    if share == 0 and whole() and loss_settings(loss).get("label_smoothing"):
        # Other classes are meant as well: their sum, over what the whole batch counts.
        summed, share = type(loss)(**{**loss.settings, "reduction": "sum"}), 1 / whole()
        with tape:
            own, together = losses(summed)
    if share == 0:  # of classes that are ignored: the mean over none is no number
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        if waited_for and isinstance(first, Variable):
            tape.backward(first, first.value * 0, ready)
        return Figures(0.0, 0.0, found, [])
    weight = share * factor
    tape.backward(together if weight == 1.0 else together * weight, ready=ready)
    return Figures(share * float(own), share * float(together), found, [])


def converted(outputs: Any, precision: str | None) -> Any:
    """Of layers that computed in 16 bits, in float32 for the loss."""
    if precision is None:
        return outputs
    if isinstance(outputs, tuple):
        return tuple(converted(one, precision) for one in outputs)
    return Tape.convert(outputs, FLOAT32) if isinstance(outputs, Variable) else outputs


def measured(metrics: Mapping[str, Metric], outputs: Any, target: Any) -> dict[str, float]:
    """Every metric of a batch."""
    outputs = plain(outputs)
    return {name: float(metric(outputs, target)) for name, metric in metrics.items()}


def loss_settings(loss: Any) -> Mapping[str, Any]:
    """Of a `Loss`; of a function there are none."""
    return getattr(loss, "settings", {})


def is_sum(loss: Any) -> bool:
    """Whether a loss is the sum over a batch, not the mean."""
    return bool(loss_settings(loss).get("reduction") == "sum")


def counted(loss: Any, target: Any) -> float:
    """What a loss is the mean over: of its own, see `Loss.count`; else examples."""
    if hasattr(loss, "count"):
        return float(loss.count(target))
    return len(target[0] if isinstance(target, tuple) else target)
