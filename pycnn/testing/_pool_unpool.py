"""Cases, oracle and PyTorch's answer: putting maxima back where they came from."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.define import _pool_unpool as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_problem as peers
from pycnn.testing._pool_cases import channels_last
from pycnn.testing.case import Case, Shape
from pycnn.testing.reading import Ints, channels_first, each, from_channels_first, sides
from pycnn.testing.tested import Settings, Tested, TestedGradient, normal

Arrayed = Mapping[str, np.ndarray]


def _cases(axes: int) -> tuple[Case, ...]:
    small = {1: (2, 3, 7), 2: (2, 3, 5, 4), 3: (2, 3, 2, 3, 4)}[axes]
    layer = {1: (2, 32, 512), 2: (1, 32, 28, 28), 3: (1, 8, 4, 14, 14)}[axes]
    odd = tuple(2 * extent + 1 for extent in small[2:])

    def case(name: str, shape: Shape, standard: bool = False, **settings: Any) -> Case:
        if settings.get("layout") == "NHWC":
            shape = channels_last(shape)
        return Case(name, {"x": shape, "indices": shape}, settings, standard)

    cases = [
        case("halves", small, kernel_size=2),
        case("overlap", small, kernel_size=3, stride=2, padding=1),
        case("output size", small, kernel_size=2, output_size=odd),
        case("channels last", (2, 37, *small[2:]), kernel_size=2, layout="NHWC"),
    ]
    if axes == 2:  # what has nothing to do with the number of axes
        cases.append(case("unbatched", small[1:], kernel_size=2))
        cases.append(case("empty", (0, *small[1:]), kernel_size=2))
    return (*cases, case("layer", layer, True, kernel_size=2))


class MaxUnpool(Tested, of=define.MaxUnpool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return _cases(self.op.axes)

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, operands = self.meant(settings), (arrays["x"], arrays["indices"])
        x, indices = (channels_first(array, self.op.axes, s.layout) for array in operands)
        y = oracle.max_unpool(x, indices, _unpooled(s, x.shape[2:]))
        return {"y": from_channels_first(y, operands[0].ndim, s.layout)}

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Indices of which no two in a plane are the same."""
        x = normal(rng, case.shapes["x"], dtype)
        whole, s = np.zeros(x.shape, np.int64), self.meant(self.settings(case))
        indices = channels_first(whole, self.op.axes, s.layout)
        small = indices.shape[2:]
        for plane in np.ndindex(indices.shape[:2]):
            places = rng.choice(prod(_unpooled(s, small)), prod(small), replace=False)
            ordered = np.sort(places) if case.standard else places
            indices[plane] = ordered.reshape(small)
        return {"x": x, "indices": whole}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        x, indices = (peers.to_torch(t, self.op.axes, settings) for t in tensors.values())
        function = getattr(torch.nn.functional, self.op.name)
        y = function(x, indices, **peers.torch_settings(settings, self.op.axes))
        return {"y": peers.from_torch(y, self.op.axes, settings)}


class MaxUnpoolBackward(TestedGradient, of=define.MaxUnpoolBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        return {name: value for name, value in case.settings.items() if name == "layout"}

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, operands = self.meant(settings), (arrays["dy"], arrays["indices"])
        axes = self.forward.op.axes
        dx = oracle.max_unpool_backward(*(channels_first(a, axes, s.layout) for a in operands))
        return {"dx": from_channels_first(dx, operands[1].ndim, s.layout)}


def _unpooled(s: Any, small: Ints) -> Ints:
    """Extents of the result."""
    if s.output_size is not None:
        return tuple(s.output_size[-len(small) :])
    axes = len(small)
    kernel = each(s.kernel_size, axes)
    stride = kernel if s.stride is None else each(s.stride, axes)
    along = zip(small, kernel, stride, sides(s.padding, axes), strict=True)
    return tuple((n - 1) * step - sum(pair) + taps for n, taps, step, pair in along)
