"""Figures of a batch's parts, as numbers in a row that goes round between processes."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from pycnn.dtypes import FLOATING, numpy_dtype
from pycnn.nn.arrays import library, to_numpy
from pycnn.nn.layer import Layer
from pycnn.train.parallel.communicator import Communicator

#: Numbers of a part beside its metrics and statistics: is there any, two losses, how many layers.
_OF_PART = 4

#: Numbers of a layer's statistics before their values: its place, their dtype, how many channels.
_OF_LAYER = 3


class Figures(NamedTuple):
    """What came of a part: its share of the losses, metrics, statistics by the layers' places."""

    loss: float
    total: float
    metrics: dict[str, float]
    moments: list[tuple[int, Any, Any]]


def of_all(
    comm: Communicator,
    flags: Sequence[bool],
    parts: Sequence[Figures | None],
    metrics: Collection[str],
    layers: Sequence[Layer],
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[list[bool], list[Figures | None]]:
    """What any process flags, and the figures of all parts in their order.

    One message of a size that all know carries both. Where a layer has left its statistics more
    than once, a second one has room for all.

    Parameters
    ----------
    comm : Communicator
    flags : sequence of bool
        As many on all processes.
    parts : sequence of Figures or None
        Of this process.
    metrics : collection of str
        Their names.
    layers : sequence of Layer
        Those that may leave statistics.
    meanwhile : callable, optional
        What is done when these are on their way.
    """
    if comm.size == 1:
        return [*flags], [*parts]
    row = np.concatenate([[0.0], np.array(flags, np.float64), packed(parts)])
    row[0] = row.size
    room = 1 + len(flags) + _most(len(parts), len(metrics), layers)
    pending = comm.rows(_of_size(row, room))
    meanwhile()
    rows = pending.result()
    if (longest := int(rows[:, 0].max())) > room:
        rows = comm.rows(_of_size(row, longest)).result()
    theirs = [unpacked(one[1 + len(flags) :], len(parts), metrics) for one in rows]
    in_order = [part for together in zip(*theirs, strict=True) for part in together]
    return rows[:, 1 : 1 + len(flags)].any(axis=0).tolist(), in_order


def _of_size(row: np.ndarray, size: int) -> np.ndarray:
    padded = np.zeros(size)
    padded[: row.size] = row[:size]
    return padded


def packed(parts: Sequence[Figures | None]) -> np.ndarray:
    """Figures as a row of float64, which holds each of their numbers as it is.

    Examples
    --------
    >>> unpacked(packed([None, Figures(0.5, 0.7, {"accuracy": 1.0}, [])]), 2, ["accuracy"])
    [None, Figures(loss=0.5, total=0.7, metrics={'accuracy': 1.0}, moments=[])]
    """
    row: list[Any] = []
    for part in parts:
        if part is None:
            row.append([0.0])
            continue
        row.append([1.0, part.loss, part.total, *part.metrics.values(), len(part.moments)])
        for place, mean, var in part.moments:
            row.append([place, FLOATING.index(mean.dtype.name), mean.size])
            row.append(to_numpy(library(mean).concatenate([mean, var])).astype(np.float64))
    return np.concatenate(row)


def unpacked(row: np.ndarray, parts: int, metrics: Collection[str]) -> list[Figures | None]:
    """The figures of a row."""
    at = 0

    def taken(count: int) -> np.ndarray:
        nonlocal at
        at += count
        return row[at - count : at]

    found: list[Figures | None] = []
    for _ in range(parts):
        if not taken(1)[0]:
            found.append(None)
            continue
        loss, total, *values, layers = map(float, taken(_OF_PART - 1 + len(metrics)))
        moments = []
        for _ in range(int(layers)):
            place, kind, channels = map(int, taken(_OF_LAYER))
            both = taken(2 * channels).astype(numpy_dtype(FLOATING[kind]))
            moments.append((place, both[:channels], both[channels:]))
        found.append(Figures(loss, total, dict(zip(metrics, values, strict=True)), moments))
    return found


def _most(parts: int, metrics: int, layers: Sequence[Layer]) -> int:
    """Numbers of so many parts, if each layer leaves statistics of its buffers' size once."""
    statistics = sum(
        _OF_LAYER + sum(buffer.size for buffer in layer.buffers.values())
        for layer in layers
        if layer.buffers
    )
    return parts * (_OF_PART + metrics + statistics)
