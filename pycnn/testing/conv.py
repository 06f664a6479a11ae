"""Cases, oracle and PyTorch's answer: convolution and its gradients."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.define import conv as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import conv as oracle
from pycnn.testing.case import Case
from pycnn.testing.conv_cases import CONV_CASES
from pycnn.testing.conv_settings import (
    EPILOGUE,
    convolution,
    finish,
    finished_by_torch,
    first_axes,
    padded_by_torch,
)
from pycnn.testing.reading import channels_first, from_channels_first
from pycnn.testing.tested import Settings, Tested, TestedGradient


class Conv(Tested, of=define.Conv):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return CONV_CASES[self.op.spatial]

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, raw, weight = self.meant(settings), arrays["x"], arrays["weight"]
        x = channels_first(raw, self.op.spatial, s.layout)
        how = convolution(s, x, weight)
        y = oracle.convolve(x, weight, arrays.get("bias"), *how, s.padding_mode)
        y = oracle.finished(y, **finish(s, arrays, self.op.spatial))
        return {"y": from_channels_first(y, raw.ndim, s.layout)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        arguments = {k: v for k, v in settings.items() if k in ("stride", "dilation", "groups")}
        s, weight = self.meant(settings), tensors["weight"]
        x = first_axes(tensors["x"], s.layout, self.op.spatial)
        x, arguments["padding"] = padded_by_torch(x, weight, s.padding, s, s.padding_mode)
        function = getattr(torch.nn.functional, self.op.name)
        y = function(x, weight, tensors.get("bias"), **arguments)
        return {"y": finished_by_torch(y, tensors, s, self.op.spatial)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return prod(arrays["weight"].shape[1:])


class ConvGradients(TestedGradient, of=define.ConvGradients):
    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward that end with the sum and a bias."""
        return [c for c in self.forward.cases if not EPILOGUE & {*c.shapes, *c.settings}]

    def needed(self, s: Any, gradients: Sequence[Any]) -> dict[str, Any]:
        """Those of dx, dweight and dbias that are asked for."""
        named = zip(("dx", "dweight", "dbias"), gradients, s.needs, strict=True)
        return {name: gradient for name, gradient, need in named if need}


class ConvBackward(ConvGradients, of=define.ConvBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, spatial = self.meant(settings), self.forward.op.spatial
        dy, x = (channels_first(arrays[name], spatial, s.layout) for name in ("dy", "x"))
        how = convolution(s, x, arrays["weight"])
        dx, *others = oracle.convolve_backward(dy, x, arrays["weight"], *how, mode=s.padding_mode)
        return self.needed(s, (from_channels_first(dx, arrays["x"].ndim, s.layout), *others))

    def terms(self, settings: Settings, arrays: Arrays) -> Mapping[str, int]:
        s, filters, taps = self.meant(settings), len(arrays["weight"]), arrays["weight"].shape[2:]
        copies = 1  # positions beyond the edges that stand for one element
        if s.padding_mode != "zeros":
            x = channels_first(arrays["x"], self.forward.op.spatial, s.layout)
            padding = convolution(s, x, arrays["weight"])[1]
            copies = prod(1 + max(pair) for pair in padding)
        pixels = arrays["dy"].size // filters
        return self.needed(s, (filters // s.groups * prod(taps) * copies, pixels, pixels))
