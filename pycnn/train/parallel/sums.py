"""Gradients of all processes, added in the order of the parts of the batch."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pycnn.nn.arrays import device_of, library
from pycnn.nn.layer import Layer
from pycnn.train.parallel.communicator import Communicator


class Sums:
    """The gradients of a batch, of which every process computes parts.

    Process r computes the parts r, r + size, ... Each owns a stretch of all gradients, laid behind
    each other: there it adds what the others send, part after part, as one process would that
    computes all parts. So the sums are the same bits, however many processes there are. At the end
    the stretches go to everybody (reduce-scatter and all-gather, as in a ring, but for the order).
    Gradients on GPUs are added by NCCL, in its order.

    Parameters
    ----------
    comm : Communicator
    model : Layer
        Its gradients are what is added up, and what `finish` sets.
    """

    def __init__(self, comm: Communicator, model: Layer) -> None:
        self._comm, self._model = comm, model
        self._parameters = [p for p in model.parameters() if p.trainable]
        sizes: dict[np.dtype[Any], int] = {}
        for parameter in self._parameters:
            dtype = parameter.value.dtype
            sizes[dtype] = sizes.get(dtype, 0) + parameter.value.size
        self._bounds = {dtype: _stretches(n, comm.size) for dtype, n in sizes.items()}
        example = self._parameters[0].value if self._parameters else np.empty(0)
        self._on_gpu, self._library = device_of(example) == "cuda", library(example)
        self._totals: dict[np.dtype[Any], Any] = {}
        self._reached = np.zeros(len(self._parameters), bool)

    def add(self, present: Sequence[bool]) -> None:
        """Add the gradients of one part of each process, and forget them.

        Parameters
        ----------
        present : sequence of bool
            By rank, whether its part has any images.
        """
        grads = [p.grad for p in self._parameters]
        self._reached |= [grad is not None for grad in grads]
        for dtype, bounds in self._bounds.items():
            flat = self._library.concatenate([
                self._library.zeros(p.value.size, dtype) if grad is None else grad.ravel()
                for p, grad in zip(self._parameters, grads, strict=True) if p.value.dtype == dtype
            ])  # fmt: skip
            if self._on_gpu:
                self._totals[dtype] = self._totals.get(dtype, 0) + self._comm.summed(flat)
                continue
            pieces = [flat[begin:end] for begin, end in bounds]
            for here, piece in zip(present, self._comm.exchanged(pieces), strict=True):
                if here and dtype in self._totals:
                    self._totals[dtype] += piece
                elif here:
                    self._totals[dtype] = piece.copy()
        self._model.zero_grad()

    def finish(self) -> None:
        """Give every process the sums, as gradients of the model."""
        reached = np.any(self._comm.everyones(self._reached), axis=0)
        for dtype, bounds in self._bounds.items():
            lengths = [end - begin for begin, end in bounds]
            mine = self._totals.pop(dtype)
            whole = mine if self._on_gpu else self._comm.joined(mine, lengths)
            at = 0
            for parameter, has in zip(self._parameters, reached, strict=True):
                if parameter.value.dtype == dtype:
                    end = at + parameter.value.size
                    if has:
                        parameter.layer.grads[parameter.key] = whole[at:end].reshape(
                            parameter.value.shape
                        )
                    at = end
        self._reached[:] = False


def _stretches(count: int, size: int) -> list[tuple[int, int]]:
    """Where each process's share of `count` numbers begins and ends.

    Examples
    --------
    >>> _stretches(7, 2)
    [(0, 3), (3, 7)]
    """
    edges = [count * r // size for r in range(size + 1)]
    return [*pairwise(edges)]
