"""Cases, oracle and PyTorch's answer: max pooling."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _pool_max as define
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Call
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pool as oracle
from pycnn.testing import _pool_cases as cases
from pycnn.testing import _pool_problem as peers
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested, TestedGradient


class Max(Tested, of=define.Max):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        y, indices = oracle.max_pool(p.layout.channels_first(arrays["x"]), peers.windows(p))
        found = {"y": y, "indices": indices}
        return {n: np.ascontiguousarray(p.layout.as_given(found[n])) for n in call.outputs}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        axes = tensors["x"].dim() - 2 if self.op.axes == 0 else self.op.axes
        x = peers.to_torch(tensors["x"], axes, settings)
        function = getattr(torch.nn.functional, self.peer(axes))
        rest = self.torch_settings(peers.torch_settings(settings, axes))
        y, indices = function(x, **{**rest, "return_indices": True})
        found = {"y": y, "indices": indices} if settings.get("return_indices") else {"y": y}
        return {n: peers.from_torch(t, axes, settings) for n, t in found.items()}

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

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dy, indices = p.given(arrays)
        return {"dx": p.layout.as_given(oracle.max_pool_backward(dy, indices, p.x_shape))}

    def terms(self, call: Call) -> int:
        return min(call.settings.pooling.taps, call.settings.pooling.windows) or 1


class MaxPool(Max, of=define.MaxPool):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        axes = self.op.axes
        found = cases.sliding(
            axes,
            indices={"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True},
            dilated={"kernel_size": 2, "stride": 1, "dilation": 3, "return_indices": True},
            asymmetric={"kernel_size": 2, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            wide_padding={"kernel_size": 3, "stride": 2, "padding": 2, "return_indices": True},
        )
        if axes != 2:
            return found
        stem = {"kernel_size": 3, "stride": 2, "padding": 1}
        shape = (1, 8, 112, 112)
        return (
            *found,
            cases.case("resnet50 stem", shape, True, **stem),
            cases.case("resnet50 stem, NHWC", shape, True, layout="NHWC", **stem),
        )


class AdaptiveMaxPool(Max, of=define.AdaptiveMaxPool):
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

    def peer(self, axes: int) -> str:
        return f"adaptive_max_pool{axes}d"

    def torch_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"output_size": 1, **settings}
