"""Blocks that are computed twice, so that nothing inside them is kept for the way back."""

import contextlib
from collections.abc import Iterator
from typing import Any

from pycnn.nn.combine import taps
from pycnn.nn.dropout import Dropout
from pycnn.nn.layer import Layer
from pycnn.nn.statistics import Moments, gathered
from pycnn.reference.cpu._common import aloud
from pycnn.runtime.context import held
from pycnn.runtime.random import drawing
from pycnn.tape import Tape, Variable, plain, recording
from pycnn.tape.tape import UNUSED, not_recording


class Recompute(Layer):
    """A block of which only the input is kept: on the way back it is computed once more.

    Memory for time: of a chain of such blocks, the results inside one block at a time are in
    memory. What is random inside is the same both times, and buffers, such as running statistics,
    move once; what a layer writes elsewhere is written twice.

    Parameters
    ----------
    layer : Layer
        The block.

    References
    ----------
    T. Chen et al., "Training deep nets with sublinear memory cost", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> block = nn.Recompute(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)))
    >>> y = block.forward(np.ones((2, 4), np.float32))
    >>> block.backward(np.ones_like(y)).shape
    (2, 4)
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def compute(self, x: Any) -> Any:
        block, tape = self.layer, recording()
        if tape is None:
            return block(x)
        if any(tap.training for tap in taps(block)):
            raise ValueError(f"{block!r} has a Tap, whose loss would be lost; allowed: none inside")
        parameters = [p for p in block.parameters() if p.trainable]
        operands = {
            p.name: tape.parameter(p.layer, p.key, p.value, stored=True) for p in parameters
        }
        if isinstance(x, Variable):
            operands[""] = x
        tape.mark("x", plain(x))
        for parameter in block.parameters():
            tape.mark(parameter.name, parameter.value)
        masks: list[tuple[int, int]] = []
        array, steps = plain(x), _steps(block)
        # In 16 bits a tape converts parameters; what this one records goes at once.
        kind = None if tape.precision is None else tape.precision.name
        with not_recording() if kind is None else Tape(kind), drawing(masks):
            y = plain(block(array))
        if isinstance(y, (tuple, list, dict)):
            raise TypeError("the block returns several arrays; allowed: one")

        def pull(dys: list[Any], needed: Any) -> dict[str, Any]:
            with aloud(), _as_before(block, steps), drawing(masks, again=True), Tape(kind) as again:
                watched = again.watch(array) if "" in operands else array
                result = block(watched)
            if not isinstance(result, Variable):
                return dict.fromkeys(needed, UNUSED)
            sources: dict[str, Any] = {p.name: p for p in parameters if p.name in needed}
            if "" in needed:
                sources[""] = watched
            grads = again.gradient(result, [*sources.values()], dys[0])
            return {n: UNUSED if g is None else g for n, g in zip(sources, grads, strict=True)}

        return tape.add("Recompute", operands, y, pull) if operands else y


def _steps(block: Layer) -> dict[Dropout, int]:
    return {one: one.step for _, one in block.named_layers() if isinstance(one, Dropout)}


@contextlib.contextmanager
def _as_before(block: Layer, steps: dict[Dropout, int]) -> Iterator[None]:
    """Masks as they were; buffers, such as running statistics, that move inside move back."""
    now, apart = _steps(block), gathered.get()
    moments = None if apart is None else Moments(apart.together)  # which nobody takes
    buffers = [
        (layer.buffers, key, array, array.copy())
        for _, layer in block.named_layers()
        for key, array in layer.buffers.items()
    ]
    try:
        for layer, step in steps.items():
            layer.step = step
        with held(gathered, moments):
            yield
    finally:
        for layer, step in now.items():
            layer.step = step
        for layers, key, array, values in buffers:
            array[...] = values
            layers[key] = array
