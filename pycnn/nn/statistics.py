"""Statistics of batches whose parts are computed apart, for the running ones of normalisations."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from pycnn.nn.arrays import device_of, mover
from pycnn.runtime.context import held

#: One layer's part of a batch: mean and variance.
Moments = tuple[Any, Any, Any]

#: Where layers leave them; None: running ones move at once.
gathered: ContextVar[list[Moments] | None] = ContextVar("pycnn_gathered", default=None)


@contextlib.contextmanager
def gathering(*, apart: bool) -> Iterator[list[Moments]]:
    """Where parts are computed `apart`, running statistics stay as they are, whatever the order.

    Yields
    ------
    list of (layer, mean, variance)
        Of the parts; `move` takes them.
    """
    moments: list[Moments] = []
    with held(gathered, moments if apart else None):
        yield moments


def move(layer: Any, mean: Any, var: Any) -> None:
    """Move a layer's running statistics towards those of one part, in place."""
    share = layer.momentum
    for name, fresh in (("running_mean", mean), ("running_var", var)):
        running = layer.buffers[name]
        fresh = mover(device_of(running))(fresh)
        running[...] = (1 - share) * running + share * fresh
