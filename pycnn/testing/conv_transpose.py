"""Cases, oracle and PyTorch's answer: transposed convolution."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.define import conv_transpose as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import conv as oracle
from pycnn.testing.case import Case
from pycnn.testing.conv import ConvGradients
from pycnn.testing.conv_settings import finish, finished_by_torch, first_axes
from pycnn.testing.conv_transpose_cases import TRANSPOSED_CASES
from pycnn.testing.reading import Ints, Pairs, channels_first, each, from_channels_first, sides
from pycnn.testing.tested import Settings, Tested


def _how(s: Any, axes: int) -> tuple[Ints, Pairs, Ints, int]:
    """Stride, padding, dilation and groups."""
    return each(s.stride, axes), sides(s.padding, axes), each(s.dilation, axes), s.groups


class ConvTranspose(Tested, of=define.ConvTranspose):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return TRANSPOSED_CASES[self.op.spatial]

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, axes, weight = self.meant(settings), self.op.spatial, arrays["weight"]
        x = channels_first(arrays["x"], axes, s.layout)
        how = _how(s, axes)
        along = x.shape[2:], weight.shape[2:], *how[:3]
        out = tuple(
            (n - 1) * step - sum(pair) + (taps - 1) * apart + 1 + more
            for n, taps, step, pair, apart, more in zip(
                *along, each(s.output_padding, axes), strict=True
            )
        )
        y = oracle.convolve_transposed(x, weight, arrays.get("bias"), *how, out)
        y = oracle.finished(y, **finish(s, arrays, axes))
        return {"y": from_channels_first(y, arrays["x"].ndim, s.layout)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        own, s = ("stride", "padding", "output_padding", "groups", "dilation"), self.meant(settings)
        arguments = {name: settings[name] for name in own if name in settings}
        asymmetric = np.ndim(s.padding) > 1
        if asymmetric:  # PyTorch cuts off as much on either side
            del arguments["padding"]
        x = first_axes(tensors["x"], s.layout, self.op.spatial)
        function = getattr(torch.nn.functional, self.op.name)
        y = function(x, tensors["weight"], tensors.get("bias"), **arguments)
        if asymmetric:
            along = zip(y.shape[-self.op.spatial :], s.padding, strict=True)
            y = y[(..., *(slice(before, n - after) for n, (before, after) in along))]
        return {"y": finished_by_torch(y, tensors, s, self.op.spatial)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        channels, _, *taps = arrays["weight"].shape
        return channels // self.meant(settings).groups * prod(taps)


class ConvTransposeBackward(ConvGradients, of=define.ConvTransposeBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, axes = self.meant(settings), self.forward.op.spatial
        dy, x = (channels_first(arrays[name], axes, s.layout) for name in ("dy", "x"))
        operands = dy, x, arrays["weight"], *_how(s, axes)
        dx, *others = oracle.convolve_transposed_backward(*operands)
        return self.needed(s, (from_channels_first(dx, arrays["x"].ndim, s.layout), *others))

    def terms(self, settings: Settings, arrays: Arrays) -> Mapping[str, int]:
        s, weight = self.meant(settings), arrays["weight"].shape
        filters = weight[1] * s.groups
        pixels = arrays["x"].size // weight[0], arrays["dy"].size // filters
        return self.needed(s, (prod(weight[1:]), *pixels))
