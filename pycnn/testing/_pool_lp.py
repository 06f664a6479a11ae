"""Cases, oracle and PyTorch's answer: Lp pooling."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _pool_lp as define
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Call
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_cases as cases
from pycnn.testing import _pool_problem as peers
from pycnn.testing._pool_mean import oracle_divisor
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested, TestedGradient, normal


class LpPool(Tested, of=define.LpPool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        also: dict[str, dict[str, Any]] = {
            "cubes": {"kernel_size": 2, "norm_type": 3},
            "roots": {"kernel_size": 3, "stride": 2, "ceil_mode": True, "norm_type": 2.5},
            "sum": {"kernel_size": 2, "stride": 3, "norm_type": 1},
            "padded": {"kernel_size": 3, "stride": 2, "padding": 2, "ceil_mode": True},
            "dilated": {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
        }
        return [
            Case(c.name, c.shapes, {"norm_type": 2, **c.settings}, c.standard)
            for c in cases.sliding(axes, **also)
        ]

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        (x,) = p.given(arrays)
        y = oracle.lp_pool(x, peers.windows(p), p.norm, oracle_divisor(p) / p.pooling.taps)
        return {"y": np.ascontiguousarray(p.layout.as_given(y))}

    def terms(self, call: Call) -> int:
        return call.settings.pooling.taps

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
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dy, x, y = p.given(arrays)
        share = oracle_divisor(p) / p.pooling.taps
        dx = oracle.lp_pool_backward(dy, x, y, peers.windows(p), p.norm, share)
        return {"dx": p.layout.as_given(dx)}

    def terms(self, call: Call) -> int:
        return min(call.settings.pooling.taps, call.settings.pooling.windows) or 1
