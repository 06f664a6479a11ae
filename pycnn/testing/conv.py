"""Cases, oracle and PyTorch's answer: convolution and its gradients."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from pycnn.define import conv as define
from pycnn.define.call import Call
from pycnn.define.conv_settings import (
    FINISH,
    Settings,
    finish,
)
from pycnn.define.operation import Arrays
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import conv as oracle
from pycnn.testing.case import Case
from pycnn.testing.conv_cases import CONV_CASES
from pycnn.testing.conv_settings import finished_by_torch, first_axes, last_axes
from pycnn.testing.tested import Tested, TestedGradient


def _placeholder(tensor: Any) -> np.ndarray:
    """An array without memory, shaped as a tensor of PyTorch that may be on a GPU or bfloat16."""
    dtype = numpy_dtype(str(tensor.dtype).removeprefix("torch."))
    return np.broadcast_to(np.zeros((), dtype), tuple(tensor.shape))


class Conv(Tested, of=define.Conv):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return CONV_CASES[self.op.spatial]

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        s: Settings = call.settings
        y = oracle.convolve(
            s.layout.channels_first(arrays["x"]),
            arrays["weight"],
            arrays.get("bias"),
            *s.geometry.as_arguments(),
            s.geometry.mode,
        )
        return {"y": s.layout.as_given(oracle.finished(y, **finish(call, arrays)))}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        given = {k: v for k, v in settings.items() if k in ("stride", "dilation", "groups")}
        layout = settings.get("layout", "NCHW")
        x, weight = first_axes(tensors["x"], layout, self.op.spatial), tensors["weight"]
        call = self.op.describe({n: _placeholder(t) for n, t in tensors.items()}, **settings)
        pads = [p for pair in call.settings.geometry.padding[::-1] for p in pair]
        mode = settings.get("padding_mode", "zeros")
        batched = x if x.ndim == weight.ndim else x[None]
        padded = torch.nn.functional.pad(batched, pads, "constant" if mode == "zeros" else mode)
        y = getattr(torch.nn.functional, self.op.name)(padded, weight, tensors.get("bias"), **given)
        y = y if x.ndim == weight.ndim else y[0]
        return {"y": last_axes(finished_by_torch(y, tensors, settings), layout, self.op.spatial)}

    def terms(self, call: Call) -> int:
        problem = call.settings.problem
        return problem.channels * problem.taps


class ConvGradients(TestedGradient, of=define.ConvGradients):
    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward that end with the sum and a bias."""
        ends = {*FINISH, "activation"}
        return [c for c in self.forward.cases if not ends & {*c.shapes, *c.settings}]


class ConvBackward(ConvGradients, of=define.ConvBackward):
    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        backward = partial(oracle.convolve_backward, mode=call.settings.geometry.mode)
        return self.op.by_reference(backward, call, arrays)

    def terms(self, call: Call) -> dict[str, int]:
        s: Settings = call.settings
        problem = s.problem
        copies = 1  # positions beyond the edges that stand for one element
        if problem.mode != "zeros":
            copies = prod(1 + max(p) for p in s.geometry.padding)
        pixels = problem.y.shape[0] * problem.pixels
        found = {"dx": problem.filters * problem.taps * copies, "dweight": pixels, "dbias": pixels}
        return {name: found[name] for name in s.needs}
