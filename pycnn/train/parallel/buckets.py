"""Gradients of some parameters behind each other, that go on their way together."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pycnn.nn.arrays import device_of, library
from pycnn.train.parallel.communicator import Communicator, Pending

#: Bytes of a bucket: an eighth of all gradients, but between these.
LEAST, MOST = 1 << 16, 25 << 20


class Bucket:
    """Gradients of one dtype, of a part of the batch after the other, and their sum.

    Parameters
    ----------
    comm : Communicator
    arrays : dict of int to array
        Parameters by their places.
    """

    def __init__(self, comm: Communicator, arrays: dict[int, Any]) -> None:
        example = next(iter(arrays.values()))
        self.places = [*arrays]
        self._comm, self._dtype, self._library = comm, example.dtype, library(example)
        self._on_gpu = device_of(example) == "cuda"
        edges = np.cumsum([0, *(array.size for array in arrays.values())]).tolist()
        self.size = edges[-1]
        self._stretches = {
            place: (slice(*both), arrays[place].shape)
            for place, both in zip(arrays, pairwise(edges), strict=True)
        }
        self._bounds = shares(self.size, comm.size)
        self._sent: list[tuple[Pending, Sequence[bool]]] = []
        self._flat: Any = None
        self._total: Any = None
        self._whole: Pending | None = None

    def put(self, place: int, grad: Any) -> None:
        """Set the gradient of a parameter in this part; None is one of zeros."""
        if self._flat is None:
            self._flat = self._library.empty(self.size, self._dtype)
        stretch, shape = self._stretches[place]
        self._flat[stretch].reshape(shape)[...] = 0 if grad is None else grad

    def send(self, present: Sequence[bool]) -> None:
        """Send what was put; `present` says by rank who has a part with any images."""
        flat = self._flat
        sent = (
            self._comm.summed(flat) if self._on_gpu
            else self._comm.exchanged([flat[begin:end] for begin, end in self._bounds])
        )  # fmt: skip
        self._sent.append((sent, present))
        self._last, self._flat = flat, None

    def come(self, *, wait: bool = False) -> bool:
        """Add what has come of the others' parts, in order; whether that is all that was sent."""
        while self._sent and (wait or self._sent[0][0].done()):
            sent, present = self._sent.pop(0)
            if self._on_gpu:
                self._add(sent.result())
                continue
            for here, piece in zip(present, sent.result(), strict=True):
                if here:
                    self._add(piece)
        return not self._sent

    def _add(self, piece: Any) -> None:
        if self._total is None:
            self._total = piece if self._on_gpu else piece.copy()
        else:
            self._total += piece

    def join(self) -> None:
        """Have every process get the sums, of which each has a stretch; all that was sent is here.

        In the memory of what this process sent last, which nobody reads any more.
        """
        if self._on_gpu:
            self._whole = Pending(self._total)
        else:
            begin, end = self._bounds[self._comm.rank]
            self._last[begin:end] = self._total
            self._whole = self._comm.joined(self._last, [e - b for b, e in self._bounds])
        self._total = self._last = None

    def is_back(self) -> bool:
        """Whether the sums are here."""
        return self._whole is not None and self._whole.done()

    def sums(self) -> Iterator[tuple[int, Any]]:
        """The sum of each parameter's gradients, by its place."""
        assert self._whole is not None
        whole, self._whole = self._whole.result(), None
        for place, (stretch, shape) in self._stretches.items():
            yield place, whole[stretch].reshape(shape)


def buckets(comm: Communicator, arrays: Sequence[Any]) -> list[Bucket]:
    """Buckets of parameters from the last one, whose gradient is there first, to the first one."""
    limit = min(MOST, max(LEAST, sum(array.nbytes for array in arrays) // 8))
    groups: list[dict[int, Any]] = []
    room = 0
    for place in reversed(range(len(arrays))):
        array = arrays[place]
        if room <= 0 or next(iter(groups[-1].values())).dtype != array.dtype:
            groups.append({})
            room = limit
        groups[-1][place] = array
        room -= array.nbytes
    return [Bucket(comm, group) for group in groups]


def shares(count: int, size: int) -> list[tuple[int, int]]:
    """Where each process's share of `count` numbers begins and ends.

    Examples
    --------
    >>> shares(7, 2)
    [(0, 3), (3, 7)]
    """
    edges = [count * r // size for r in range(size + 1)]
    return [*pairwise(edges)]
