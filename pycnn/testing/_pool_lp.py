"""Cases, oracle and PyTorch's answer: Lp pooling."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _pool_lp as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_cases as cases, _pool_problem as peers
from pycnn.testing.case import Case
from pycnn.testing.reading import channels_first, from_channels_first
from pycnn.testing.tested import Settings, Tested, TestedGradient, normal

Arrayed = Mapping[str, np.ndarray]


def _problem(s: Any, spatial: int, x: np.ndarray) -> tuple[np.ndarray, Any, Any]:
    """x with the channels first, its windows, and the share of each in the padded x."""
    first = channels_first(x, spatial, s.layout)
    windows = peers.sliding(s, first.shape[2:])
    counted = peers.divisors(s, first.shape[2:], windows, count_include_pad=True)
    return first, windows, counted / peers.taps(s, spatial)


class LpPool(Tested, of=define.LpPool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        also: dict[str, dict[str, Any]] = {
            "cubes": {"kernel_size": 2, "norm_type": 3},
            "roots": {"kernel_size": 3, "stride": 2, "ceil_mode": True, "norm_type": 2.5},
            "sum": {"kernel_size": 2, "stride": 3, "norm_type": 1},
            "padded": {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True},
            "dilated": {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
        }
        return [
            Case(c.name, c.shapes, {"norm_type": 2, **c.settings}, c.standard)
            for c in cases.sliding(axes, **also)
        ]

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        x, windows, share = _problem(s, self.op.axes, arrays["x"])
        y = oracle.lp_pool(x, windows, s.norm_type, share)
        return {"y": from_channels_first(y, arrays["x"].ndim, s.layout)}

    def terms(self, settings: Settings, arrays: Arrayed) -> int:
        return peers.taps(self.meant(settings), self.op.axes)

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Positive values: sums of others may cancel, or have no root."""
        drawn = {name: normal(rng, shape, dtype) for name, shape in case.shapes.items()}
        return {name: np.abs(a) + a.dtype.type(0.125) for name, a in drawn.items()}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        x = peers.to_torch(tensors["x"], self.op.axes, settings)
        function = getattr(torch.nn.functional, self.op.name)
        y = function(x, **peers.torch_settings(settings, self.op.axes, ("padding", "dilation")))
        return {"y": peers.from_torch(y, self.op.axes, settings)}


class LpPoolBackward(TestedGradient, of=define.LpPoolBackward):
    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, axes = self.meant(settings), self.forward.op.axes
        x, windows, share = _problem(s, axes, arrays["x"])
        dy, y = (channels_first(arrays[name], axes, s.layout) for name in ("dy", "y"))
        dx = oracle.lp_pool_backward(dy, x, y, windows, s.norm_type, share)
        return {"dx": from_channels_first(dx, arrays["x"].ndim, s.layout)}

    def terms(self, settings: Settings, arrays: Arrayed) -> int:
        s, axes = self.meant(settings), self.forward.op.axes
        _, windows, _ = _problem(s, axes, arrays["x"])
        return min(peers.taps(s, axes), peers.number(windows)) or 1
