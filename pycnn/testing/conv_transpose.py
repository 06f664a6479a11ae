"""Cases, oracle and PyTorch's answer: transposed convolution."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.define import conv_transpose as define
from pycnn.define.call import Call
from pycnn.define.conv_settings import (
    Settings,
    finish,
)
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import conv as oracle
from pycnn.testing.case import Case
from pycnn.testing.conv import ConvGradients
from pycnn.testing.conv_settings import finished_by_torch, first_axes, last_axes
from pycnn.testing.conv_transpose_cases import TRANSPOSED_CASES
from pycnn.testing.tested import NoPeer, Tested


class ConvTranspose(Tested, of=define.ConvTranspose):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        return TRANSPOSED_CASES[self.op.spatial]

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        s: Settings = call.settings
        x, extents = s.layout.channels_first(arrays["x"]), s.layout.extents
        out = extents(call.outputs["y"].shape)[2:]
        given = (x, arrays["weight"], arrays.get("bias"), *s.geometry.as_arguments(), out)
        y = oracle.convolve_transposed(*given)
        return {"y": s.layout.as_given(oracle.finished(y, **finish(call, arrays)))}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        own = ("stride", "padding", "output_padding", "groups", "dilation")
        given = {name: settings[name] for name in own if name in settings}
        if np.ndim(given.get("padding", 0)) > 1:
            raise NoPeer("PyTorch has no asymmetric padding here")
        layout = settings.get("layout", "NCHW")
        x = first_axes(tensors["x"], layout, self.op.spatial)
        function = getattr(torch.nn.functional, self.op.name)
        y = function(x, tensors["weight"], tensors.get("bias"), **given)
        return {"y": last_axes(finished_by_torch(y, tensors, settings), layout, self.op.spatial)}

    def terms(self, call: Call) -> int:
        problem = call.settings.problem
        return problem.filters * problem.taps


class ConvTransposeBackward(ConvGradients, of=define.ConvTransposeBackward):
    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        return self.op.by_reference(oracle.convolve_transposed_backward, call, arrays)

    def terms(self, call: Call) -> dict[str, int]:
        problem = call.settings.problem
        images = problem.x.shape[0]
        found = {
            "dx": problem.channels * problem.taps,
            "dweight": images * problem.pixels,
            "dbias": images * prod(problem.x.shape[2:]),
        }
        return {name: found[name] for name in call.settings.needs}
