"""Cases, oracle and PyTorch's answer: max pooling."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _pool_max as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_cases as cases, _pool_problem as peers
from pycnn.testing.case import Case
from pycnn.testing.reading import Ints, channels_first, from_channels_first
from pycnn.testing.tested import Settings, Tested, TestedGradient

Arrayed = Mapping[str, np.ndarray]


class Max(Tested, of=define.Max):
    def windows(self, s: Any, extents: Ints) -> peers.Windows:
        """What every window covers."""
        return peers.sliding(s, extents)

    def spatial(self, array: Any) -> int:
        """Number of spatial axes; global pooling takes any."""
        return int(self.op.axes or array.ndim - 2)

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, raw = self.meant(settings), arrays["x"]
        x = channels_first(raw, self.spatial(raw), s.layout)
        results = oracle.max_pool(x, self.windows(s, x.shape[2:]))
        y, indices = (from_channels_first(array, raw.ndim, s.layout) for array in results)
        return {"y": y, "indices": indices} if s.return_indices else {"y": y}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        axes = self.spatial(tensors["x"])
        whole = peers.to_torch(tensors["x"], axes, settings)
        function = getattr(torch.nn.functional, self.peer(axes))
        rest = self.torch_settings(peers.torch_settings(settings, axes))
        x, rest = peers.padded_by_torch(whole, axes, rest, -torch.inf)
        y, indices = function(x, **{**rest, "return_indices": True})
        results = {"y": y}
        if settings.get("return_indices") and x is whole:  # of padded x it counts other elements
            results["indices"] = indices
        return {n: peers.from_torch(t, axes, settings) for n, t in results.items()}

    def peer(self, axes: int) -> str:
        """Name of PyTorch's function."""
        return self.op.name

    def torch_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Arguments of PyTorch's function."""
        return settings


class MaxGradient(TestedGradient, of=define.MaxGradient):
    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward, once each."""
        return [c for c in self.forward.cases if c.settings.get("return_indices", True)]

    def settings(self, case: Case) -> dict[str, Any]:
        rest = {
            n: v for n, v in case.settings.items() if n not in ("return_indices", "output_size")
        }
        return {"x_shape": case.shapes["x"], **rest}

    def draw_both(
        self, case: Case, rng: np.random.Generator, dtype: str
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Indices are what forward makes, whether the case asks for them or not."""
        indexed = replace(case, settings={**case.settings, "return_indices": True})
        return super().draw_both(indexed, rng, dtype)

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        s, dy, indices, shape = self._problem(settings, arrays)
        dx = oracle.max_pool_backward(dy, indices, shape)
        return {"dx": from_channels_first(dx, len(s.x_shape), s.layout)}

    def terms(self, settings: Settings, arrays: Arrayed) -> int:
        s, dy, _, shape = self._problem(settings, arrays)
        s.output_size = dy.shape[2:]
        windows = self.forward.windows(s, shape[2:])
        return min(peers.largest(windows), peers.number(windows)) or 1

    def _problem(self, settings: Settings, arrays: Arrayed) -> tuple[Any, Any, Any, Ints]:
        """The settings, and with the channels first dy, the indices, the shape of x."""
        s, spatial = self.meant(settings), self.forward.spatial(arrays["dy"])
        operands = arrays["dy"], arrays["indices"], np.empty(s.x_shape)
        dy, indices, x = (channels_first(array, spatial, s.layout) for array in operands)
        return s, dy, indices, x.shape


class MaxPool(Max, of=define.MaxPool):
    traffic = cases.OVERLAPPING

    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        usual = cases.sliding(
            axes,
            indices={"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True},
            dilated={"kernel_size": 2, "stride": 1, "dilation": 3, "return_indices": True},
            asymmetric={"kernel_size": 2, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            dilated_differently={"kernel_size": 2, "stride": 1, "dilation": (3, 1, 2)[:axes]},
            wide_padding={"kernel_size": 4, "stride": 3, "padding": 2, "return_indices": True},
        )
        if axes != 2:
            return usual
        stem = {"kernel_size": 3, "stride": 2, "padding": 1}
        shape = (1, 8, 112, 112)
        vectors = {"return_indices": True, **cases.HALVING}
        return (
            *usual,
            *(
                cases.case(f"vectors and indices, {k}", cases.VECTORS, kernel_size=k, **vectors)
                for k in (2, 3)
            ),
            cases.case("resnet50 stem", shape, True, **stem),
            cases.case("resnet50 stem, NHWC", shape, True, layout="NHWC", **stem),
        )


class AdaptiveMaxPool(Max, of=define.AdaptiveMaxPool):
    def windows(self, s: Any, extents: Ints) -> peers.Windows:
        return peers.adaptive(s.output_size, extents)

    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        return (
            *cases.adaptive(axes),
            cases.case("indices", cases.SMALL[axes], output_size=4, return_indices=True),
            cases.case("global indices", cases.WIDE[axes], output_size=1, return_indices=True),
        )


class GlobalMaxPool(Max, of=define.GlobalMaxPool):
    cases = (
        *cases.over_everything(),
        cases.case("indices", (2, 37, 7, 5), return_indices=True),
        cases.case("indices, large", (2, 3, 43, 50), return_indices=True),
        cases.case("indices, channels last", (2, 37, 7, 5), return_indices=True, layout="NHWC"),
    )

    def windows(self, s: Any, extents: Ints) -> peers.Windows:
        return peers.everything(extents)

    def peer(self, axes: int) -> str:
        return f"adaptive_max_pool{axes}d"

    def torch_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"output_size": 1, **settings}
