"""Cases, oracle and PyTorch's answer: average and sum pooling."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _pool_mean as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_cases as cases, _pool_problem as peers
from pycnn.testing.case import Case
from pycnn.testing.reading import Ints, channels_first, each, from_channels_first
from pycnn.testing.tested import Settings, Tested, TestedGradient

Arrayed = Mapping[str, np.ndarray]


class Mean(Tested, of=define.Mean):
    def windows(self, s: Any, extents: Ints) -> peers.Windows:
        """What every window covers."""
        return peers.sliding(s, extents)

    def divisor(self, s: Any, extents: Ints, windows: peers.Windows) -> Any:
        """What the sum of every window is divided by."""
        return oracle.sizes(windows)

    def spatial(self, array: Any) -> int:
        """Number of spatial axes; global pooling takes any."""
        return int(self.op.axes or array.ndim - 2)

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, raw = self.meant(settings), arrays["x"]
        x = channels_first(raw, self.spatial(raw), s.layout)
        windows = self.windows(s, x.shape[2:])
        y = oracle.avg_pool(x, windows, self.divisor(s, x.shape[2:], windows))
        return {"y": from_channels_first(y, raw.ndim, s.layout)}

    def terms(self, settings: Settings, arrays: Arrayed) -> int:
        s, raw = self.meant(settings), arrays["x"]
        x = channels_first(raw, self.spatial(raw), s.layout)
        return peers.largest(self.windows(s, x.shape[2:]))

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        axes = self.spatial(tensors["x"])
        x = peers.to_torch(tensors["x"], axes, settings)
        rest = peers.torch_settings(settings, axes, ("dilation",))
        y = self.peer(axes, *peers.padded_by_torch(x, axes, rest, 0.0))
        return {"y": peers.from_torch(y, axes, settings)}

    def peer(self, axes: int, x: Any, settings: dict[str, Any]) -> Any:
        """By PyTorch."""
        import torch

        return getattr(torch.nn.functional, self.op.name)(x, **settings)


class MeanGradient(TestedGradient, of=define.MeanGradient):
    def settings(self, case: Case) -> dict[str, Any]:
        rest = {name: value for name, value in case.settings.items() if name != "output_size"}
        return {"x_shape": case.shapes["x"], **rest}

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, dy, shape, windows = self._problem(settings, arrays)
        divisor = self.forward.divisor(s, shape[2:], windows)
        dx = oracle.avg_pool_backward(dy, shape, windows, divisor)
        return {"dx": from_channels_first(dx, len(s.x_shape), s.layout)}

    def terms(self, settings: Settings, arrays: Arrayed) -> int:
        _, _, _, windows = self._problem(settings, arrays)
        return min(peers.largest(windows), peers.number(windows)) or 1

    def _problem(self, settings: Settings, arrays: Arrayed) -> tuple[Any, Any, Ints, Any]:
        """The settings of forward, and with the channels first dy, the shape of x, the windows."""
        s, spatial = self.meant(settings), self.forward.spatial(arrays["dy"])
        x, dy = (channels_first(a, spatial, s.layout) for a in (np.empty(s.x_shape), arrays["dy"]))
        s.output_size = dy.shape[2:]
        return s, dy, x.shape, self.forward.windows(s, x.shape[2:])


class AvgPool(Mean, of=define.AvgPool):
    traffic = cases.OVERLAPPING

    def divisor(self, s: Any, extents: Ints, windows: peers.Windows) -> Any:
        override = getattr(s, "divisor_override", None)  # not there with one axis
        return override or peers.divisors(s, extents, windows, s.count_include_pad)

    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        padded = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
        dilated = {**padded, "kernel_size": 4, "padding": 2, "dilation": 2}
        more: dict[str, Any] = {}
        if axes > 1:
            more["divisor"] = {"kernel_size": 2, "padding": 1, "divisor_override": 3}
        return cases.sliding(
            axes,
            padded=padded,
            padding_not_counted={**padded, "count_include_pad": False},
            dilated=dilated,
            dilated_padding_not_counted={**dilated, "count_include_pad": False},
            dilated_differently={"kernel_size": 2, "stride": 1, "dilation": (3, 1, 2)[:axes]},
            asymmetric={"kernel_size": 2, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            padding_before_not_counted={
                "kernel_size": 2,
                "stride": 3,
                "count_include_pad": False,
                "padding": ((1, 0), (0, 0), (0, 0))[:axes],
            },
            asymmetric_hanging_over={**padded, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            **more,
        )


class SumPool(Mean, of=define.SumPool):
    traffic = cases.OVERLAPPING

    def divisor(self, s: Any, extents: Ints, windows: peers.Windows) -> Any:
        return 1.0

    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return cases.sliding(
            self.op.axes,
            padded={"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
            dilated={"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
        )

    def peer(self, axes: int, x: Any, settings: dict[str, Any]) -> Any:
        """PyTorch's mean takes a divisor, though not with one axis."""
        import torch

        if axes > 1:
            function = getattr(torch.nn.functional, f"avg_pool{axes}d")
            return function(x, **settings, divisor_override=1)
        of_row = {}
        for name, across in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            if name in settings:
                of_row[name] = (across, *each(settings[name], 1))
        rest = {**settings, **of_row, "divisor_override": 1}
        return torch.nn.functional.avg_pool2d(x.unsqueeze(-2), **rest).squeeze(-2)


class AdaptiveAvgPool(Mean, of=define.AdaptiveAvgPool):
    def windows(self, s: Any, extents: Ints) -> peers.Windows:
        return peers.adaptive(s.output_size, extents)

    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return cases.adaptive(self.op.axes)


class GlobalAvgPool(Mean, of=define.GlobalAvgPool):
    cases = cases.over_everything()

    def windows(self, s: Any, extents: Ints) -> peers.Windows:
        return peers.everything(extents)

    def peer(self, axes: int, x: Any, settings: dict[str, Any]) -> Any:
        import torch

        return getattr(torch.nn.functional, f"adaptive_avg_pool{axes}d")(x, 1)
