"""Gradients of all processes, added in the order of the parts of the batch, while they come."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.nn.layer import Layer
from pycnn.train.parallel.buckets import buckets
from pycnn.train.parallel.communicator import Communicator


class Sums:
    """The gradients of a batch, of which every process computes parts.

    Process r computes the parts r, r + size, ... Each owns a stretch of every bucket of gradients:
    there it adds what the others send, part after part, as one process would that computes all
    parts. So the sums are the same bits, however many processes there are. The stretches then go
    to everybody (reduce-scatter and all-gather, as in a ring, but for the order).

    A bucket goes on its way as soon as its gradients are final, while those of earlier layers are
    still computed. Buckets begin with the last parameters, and go in the same order on all
    processes. Gradients on GPUs are added by NCCL, in its order.

    Parameters
    ----------
    comm : Communicator
    model : Layer
        Its gradients are what is added up, and what `finish` sets.
    rounds : int, default 1
        Parts of each process.

    References
    ----------
    S. Li et al., "PyTorch Distributed: experiences on accelerating data parallel training", 2020,
    section 3.2.
    """

    def __init__(self, comm: Communicator, model: Layer, rounds: int = 1) -> None:
        self._parameters = [p for p in model.parameters() if p.trainable]
        self._places = {
            (id(layer), key): place
            for place, p in enumerate(self._parameters)
            for layer, key in ((p.layer, p.key), *p.shared)
        }
        self._buckets = buckets(comm, [p.value for p in self._parameters])
        self._of = {place: bucket for bucket in self._buckets for place in bucket.places}
        self._rounds, self._joined = rounds, 0
        #: Of each parameter, whether any part here has a gradient.
        self.reached = np.zeros(len(self._parameters), bool)

    def begin(self, present: Sequence[bool]) -> None:
        """A part of each process is computed from here on.

        Parameters
        ----------
        present : sequence of bool
            By rank, whether it has any images.
        """
        self._present, self._missing, self._left = present, {*self._of}, [*self._buckets]
        self._rounds -= 1

    def ready(self, layer: Any, key: str) -> None:
        """Take the gradient of a parameter, which is final; see `pycnn.tape.Tape.backward`."""
        self._take(self._places[id(layer), key])
        while self._left and self._missing.isdisjoint(self._left[0].places):
            self._left.pop(0).send(self._present)
        self._move_on()

    def end(self) -> None:
        """The part is computed: send what is left of its gradients."""
        for place in [*self._missing]:
            self._take(place)
        while self._left:
            self._left.pop(0).send(self._present)

    def join(self) -> None:
        """Wait for the others' parts of this process's stretches, and send the sums round."""
        self._move_on(wait=True)

    def finish(self, reached: Sequence[bool]) -> None:
        """Give every process the sums, as gradients of the model.

        Parameters
        ----------
        reached : sequence of bool
            Of each parameter, whether any part of any process has a gradient.
        """
        self.join()
        for bucket in self._buckets:
            for place, total in bucket.sums():
                if reached[place]:
                    parameter = self._parameters[place]
                    parameter.layer.grads[parameter.key] = total

    def hidden(self) -> float:
        """The share of the gradients whose sums are here."""
        there = sum(bucket.size for bucket in self._buckets if bucket.is_back())
        return there / max(1, sum(bucket.size for bucket in self._buckets))

    def _take(self, place: int) -> None:
        parameter = self._parameters[place]
        grad = parameter.grad
        self.reached[place] |= grad is not None
        self._of[place].put(place, grad)
        parameter.layer.grads.pop(parameter.key, None)
        self._missing.remove(place)

    def _move_on(self, *, wait: bool = False) -> None:
        """Add what has come; to ask for it is what has MPI move it on."""
        for number, bucket in enumerate(self._buckets):
            sent = number < len(self._buckets) - len(self._left)
            whole = bucket.come(wait=wait) and sent and self._rounds == 0
            if whole and number == self._joined:  # which all begin in the same order
                bucket.join()
                self._joined += 1
