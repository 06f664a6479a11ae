"""Blocks that are computed twice, so that nothing inside them is kept for the way back."""

import contextlib
from collections.abc import Iterator
from typing import Any

from pycnn.nn.dropout import Dropout
from pycnn.nn.layer import Layer
from pycnn.nn.normalisation import recomputing
from pycnn.runtime.random import drawing
from pycnn.tape import Tape, Variable, plain, recording
from pycnn.tape.tape import not_recording


class Recompute(Layer):
    """A block of which only the input is kept: on the way back it is computed once more.

    Memory for time: of a chain of such blocks, the results inside one block at a time are in
    memory. What is random inside is the same both times, and running statistics move once.

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
        parameters = [p for p in block.parameters() if p.trainable]
        operands = {p.name: tape.parameter(p.layer, p.key, p.value) for p in parameters}
        if isinstance(x, Variable):
            operands[""] = x
        masks: list[tuple[int, int]] = []
        array, steps = plain(x), _steps(block)
        with not_recording(), drawing(masks):
            y = block(array)

        def pull(dys: list[Any], needed: Any) -> dict[str, Any]:
            with _as_before(block, steps), drawing(masks, again=True), Tape() as again:
                watched = again.watch(array)
                result = block(watched)
            sources = {p.name: p for p in parameters if p.name in needed}
            grads = again.gradient(result, [*sources.values(), watched], dys[0])
            return dict(zip([*sources, ""], grads, strict=True))

        return tape.add("Recompute", operands, y, pull)

    def describe(self) -> str:
        return repr(self.layer)


def _steps(block: Layer) -> dict[Dropout, int]:
    return {one: one.step for _, one in block.named_layers() if isinstance(one, Dropout)}


@contextlib.contextmanager
def _as_before(block: Layer, steps: dict[Dropout, int]) -> Iterator[None]:
    """Masks as they were, and no statistics that move."""
    now = _steps(block)
    token = recomputing.set(True)
    try:
        for layer, step in steps.items():
            layer.step = step
        yield
    finally:
        recomputing.reset(token)
        for layer, step in now.items():
            layer.step = step
