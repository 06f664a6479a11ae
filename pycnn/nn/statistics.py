"""Statistics of batches whose parts are computed apart, for the running ones of normalisations."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from pycnn.nn.arrays import device_of, mover

#: Of x, weight, bias, eps and layout: y, and the mean and the variance over all parts.
Together = Callable[..., tuple[Any, Any, Any]]


class Moments(list[tuple[Any, Any, Any]]):
    """(layer, mean, variance) of each normalisation of a part of a batch.

    Parameters
    ----------
    together : callable, optional
        What normalises a part by the statistics of all, which are computed at a time.
    """

    def __init__(self, together: Together | None = None) -> None:
        super().__init__()
        self.together = together


#: Where layers leave them, so that running ones stay as they are; None: these move at once.
gathered: ContextVar[Moments | None] = ContextVar("pycnn_gathered", default=None)


def move(layer: Any, mean: Any, var: Any) -> None:
    """Move a layer's running statistics towards those of one part, in place."""
    share = layer.momentum
    for name, fresh in (("running_mean", mean), ("running_var", var)):
        running = layer.buffers[name]
        fresh = mover(device_of(running))(fresh)
        running[...] = (1 - share) * running + share * fresh
