"""Cases, oracle and PyTorch's answer: the convolution of 8-bit floats with scales."""

from math import prod
from typing import Any

import numpy as np

from pycnn.define import conv_scaled as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import conv as oracle
from pycnn.testing import gemm_scaled
from pycnn.testing.case import Case
from pycnn.testing.conv_int8 import PROBLEMS, STANDARD, channels_innermost
from pycnn.testing.conv_settings import convolution, first_axes, last_axes, padded_by_torch
from pycnn.testing.gemm_scaled import B16, F16, F32
from pycnn.testing.reading import channels_first, from_channels_first
from pycnn.testing.tested import NoPeer, Settings

#: Cases whose weight has the wider exponent, where that of x has the narrow one.
WIDE = "weight of e5m2"

#: What is special to a case: the dtype of its result, one scale for all filters, no bias.
_RESULTS = {"groups": B16, "words": F16}
_ONE_SCALE, _NO_BIAS = ("groups", "channels last"), ("unbatched",)


def case_of(
    name: str,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    settings: dict[str, Any],
    dtype: dict[str, str] = F32,
) -> Case:
    """A scale for every filter and a bias, unless the name says otherwise."""
    scales = {"x_scale": (), "weight_scale": () if name in _ONE_SCALE else weight[:1]}
    bias = {} if name in _NO_BIAS else {"bias": weight[:1]}
    shapes = {"x": x, "weight": weight, **scales, **bias}
    return Case(name, shapes, {**settings, **dtype}, standard=name == STANDARD[0])


class ScaledConv2d(gemm_scaled.Scaled, of=define.ScaledConv2d):
    factors = "x", "weight"
    wide = WIDE
    cases = (
        *(case_of(*problem, _RESULTS.get(problem[0], F32)) for problem in PROBLEMS),
        case_of(WIDE, *PROBLEMS[0][1:]),
        case_of(*STANDARD, B16),
    )

    def numbers(
        self, case: Case, name: str, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        """With the channels of x innermost, so are those of the weight."""
        last = name == "weight" and case.settings.get("layout") == "NHWC"
        drawn = super().numbers(case, name, rng, shape)
        return channels_innermost(drawn) if last else drawn

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        x, weight = channels_first(arrays["x"], 2, s.layout), arrays["weight"]
        y = oracle.convolve(x, weight, None, *convolution(s, x, weight))
        scale = float(arrays["x_scale"]) * arrays["weight_scale"].astype("f8")
        with np.errstate(invalid="ignore"):
            y = y * scale.reshape(-1, 1, 1)
        if "bias" in arrays:
            y = y + arrays["bias"].astype("f8").reshape(-1, 1, 1)
        return {"y": from_channels_first(y, arrays["x"].ndim, s.layout)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return prod(arrays["weight"].shape[1:])

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        """Of floats: PyTorch has no convolution of 8-bit ones."""
        import torch

        if settings["output_dtype"] != "float32":
            raise NoPeer("NumPy takes no bfloat16 from PyTorch, and 16 bits tell no more")
        arguments = {k: v for k, v in settings.items() if k in ("stride", "dilation", "groups")}
        s = self.meant(settings)
        x = first_axes(tensors["x"].float(), s.layout, 2)
        weight = tensors["weight"].float() * tensors["weight_scale"].reshape(-1, 1, 1, 1)
        x, arguments["padding"] = padded_by_torch(x, weight, s.padding, s)
        y = torch.nn.functional.conv2d(x * tensors["x_scale"], weight, None, **arguments)
        if "bias" in tensors:
            y = y + tensors["bias"][:, None, None]
        return {"y": last_axes(y, s.layout, 2)}
