"""Cases, oracle and PyTorch's answer: average and sum pooling."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _pool_mean as define
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Call
from pycnn.define.operation import Arrays
from pycnn.define.validate import per_axis
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_cases as cases
from pycnn.testing import _pool_problem as peers
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested, TestedGradient


def oracle_divisor(problem: Problem) -> np.ndarray | float:
    """The same by the oracle."""
    average, axes, found = problem.average, problem.pooling.axes, peers.windows(problem)
    if average.divisor:
        return float(average.divisor)
    if axes[0].kernel == 0:
        return oracle.sizes(found)
    return oracle.divisors(
        [a.extent for a in axes],
        found,
        [a.kernel for a in axes],
        [a.stride for a in axes],
        [(a.low, a.high) for a in axes],
        [a.dilation for a in axes],
        average.count_include_pad,
    )


class Mean(Tested, of=define.Mean):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        x = p.layout.channels_first(arrays["x"])
        return {"y": p.layout.as_given(oracle.avg_pool(x, peers.windows(p), oracle_divisor(p)))}

    def terms(self, call: Call) -> int:
        return call.settings.pooling.taps

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        axes = tensors["x"].dim() - 2 if self.op.axes == 0 else self.op.axes
        x = peers.to_torch(tensors["x"], axes, settings)
        y = self.peer(x, axes, peers.torch_settings(settings, axes, ("dilation",)))
        return {"y": peers.from_torch(y, axes, settings)}

    def peer(self, x: Any, axes: int, settings: dict[str, Any]) -> Any:
        """By PyTorch."""
        import torch

        return getattr(torch.nn.functional, self.op.name)(x, **settings)


class MeanGradient(TestedGradient, of=define.MeanGradient):
    def settings(self, case: Case) -> dict[str, Any]:
        rest = {name: value for name, value in case.settings.items() if name != "output_size"}
        return {"x_shape": case.shapes["x"], **rest}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dy = p.layout.channels_first(arrays["dy"])
        dx = oracle.avg_pool_backward(dy, p.x_shape, peers.windows(p), oracle_divisor(p))
        return {"dx": p.layout.as_given(dx)}

    def terms(self, call: Call) -> int:
        return min(call.settings.pooling.taps, call.settings.pooling.windows) or 1


class AvgPool(Mean, of=define.AvgPool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        padded = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
        dilated = {**padded, "padding": 3, "dilation": 2}
        more: dict[str, Any] = {}
        if axes > 1:
            more["divisor"] = {"kernel_size": 2, "padding": 1, "divisor_override": 3}
        return cases.sliding(
            axes,
            padded=padded,
            padding_not_counted={**padded, "count_include_pad": False},
            dilated=dilated,
            dilated_padding_not_counted={**dilated, "count_include_pad": False},
            asymmetric={"kernel_size": 2, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            **more,
        )


class SumPool(Mean, of=define.SumPool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return cases.sliding(
            self.op.axes,
            padded={"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
            dilated={"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
        )

    def peer(self, x: Any, axes: int, settings: dict[str, Any]) -> Any:
        """PyTorch's mean takes a divisor, though not with one axis."""
        import torch

        if axes > 1:
            function = getattr(torch.nn.functional, f"avg_pool{axes}d")
            return function(x, **settings, divisor_override=1)
        of_row = {}
        for name, across in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            if name in settings:
                of_row[name] = (across, *per_axis(name, settings[name], 0, 1))
        rest = {**settings, **of_row, "divisor_override": 1}
        return torch.nn.functional.avg_pool2d(x.unsqueeze(-2), **rest).squeeze(-2)


class AdaptiveAvgPool(Mean, of=define.AdaptiveAvgPool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return cases.adaptive(self.op.axes)


class GlobalAvgPool(Mean, of=define.GlobalAvgPool):
    cases = cases.over_everything()

    def peer(self, x: Any, axes: int, settings: dict[str, Any]) -> Any:
        import torch

        return getattr(torch.nn.functional, f"adaptive_avg_pool{axes}d")(x, 1)
