"""Cases, oracle and PyTorch's answer: convolution of 8-bit integers."""

from math import prod
from typing import Any

import numpy as np

from pycnn.define import conv_int8 as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import conv_int8 as oracle
from pycnn.testing.case import Case
from pycnn.testing.conv_settings import convolution, first_axes, last_axes, padded_by_torch
from pycnn.testing.reading import channels_first, from_channels_first
from pycnn.testing.tested import NoPeer, Settings, Tested

#: What the cases of both operations have in common: shapes of x and weight, and settings.
PROBLEMS: tuple[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ("padded", (2, 3, 7, 5), (4, 3, 3, 2), {"padding": ((1, 2), (0, 1)), "stride": (2, 1)}),
    ("groups", (3, 6, 9, 7), (4, 3, 2, 3), {"groups": 2, "dilation": (3, 2), "stride": 2}),
    ("unbatched", (3, 8, 6), (5, 3, 3, 3), {"padding": "same"}),
    ("words", (2, 5, 6, 8), (7, 8, 3, 3), {"padding": 1, "layout": "NHWC"}),
    (
        "words of groups",
        (1, 7, 5, 24),
        (6, 12, 2, 3),
        {"groups": 2, "padding": ((0, 1), (2, 0)), "layout": "NHWC"},
    ),
    ("channels last", (5, 6, 3), (5, 3, 3, 3), {"padding": 2, "stride": 2, "layout": "NHWC"}),
    ("empty", (0, 3, 4, 5), (2, 3, 2, 2), {}),
)


STANDARD = ("resnet50", (1, 28, 28, 64), (32, 64, 3, 3), {"padding": 1, "layout": "NHWC"})


def channels_innermost(weight: np.ndarray) -> np.ndarray:
    """The same elements (K, C/G, R, S), in memory with its channels next to each other."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


class IntegerConv(Tested, of=define.IntegerConv):
    def exact_sums(self, s: Any, arrays: Arrays) -> np.ndarray:
        """By the oracle: (N, K, P, Q)."""
        x, weight = channels_first(arrays["x"], 2, s.layout), arrays["weight"]
        zeros = arrays.get("x_zero_point", 0), arrays.get("weight_zero_point", 0)
        stride, padding, dilation, groups = convolution(s, x, weight)
        return oracle.convolve(x, weight, *zeros, stride, padding, dilation, groups)

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return prod(arrays["weight"].shape[1:])

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """All values of x and of a signed weight; zero points near the middle of the range.

        With the channels of x innermost, so are those of the weight.
        """
        middle = 0 if dtype == "int8" else 128
        ranges = {
            "x": (np.iinfo(dtype).min, np.iinfo(dtype).max, dtype),
            "x_zero_point": (middle - 30, middle + 30, dtype),
            "weight": (-128, 127, "int8"),
            "weight_zero_point": (-30, 30, "int8"),
            "y_zero_point": (98, 158, "uint8"),
            "bias": (-5000, 5000, "int32"),
        }
        drawn = {}
        for name, shape in case.shapes.items():
            if name in ranges:
                low, high, own = ranges[name]
                drawn[name] = np.asarray(rng.integers(low, high, shape, own, endpoint=True))
            else:
                drawn[name] = np.asarray(rng.uniform(0.01, 0.03, shape), np.float32)
        if case.settings.get("layout") == "NHWC":
            drawn["weight"] = channels_innermost(drawn["weight"])
        if "y_scale" in drawn:  # so that a few values saturate
            terms = prod(case.shapes["weight"][1:])
            drawn["y_scale"] *= np.float32(2 * np.sqrt(terms))
        return drawn


class Conv2dInteger(IntegerConv, of=define.Conv2dInteger):
    cases = (
        Case("no zero points", {"x": (2, 3, 4, 5), "weight": (3, 3, 2, 2)}),
        *(
            Case(
                name,
                {
                    "x": x,
                    "weight": weight,
                    "x_zero_point": (),
                    "weight_zero_point": weight[:1] if "words" in name else (),
                },
                settings,
                standard=name == STANDARD[0],
            )
            for name, x, weight, settings in (*PROBLEMS, STANDARD)
        ),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        sums = oracle.wrapped(self.exact_sums(s, arrays))
        return {"y": from_channels_first(sums, arrays["x"].ndim, s.layout)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        """In doubles, which hold every such sum: PyTorch has no convolution of integers."""
        import torch

        wide = {name: tensor.double() for name, tensor in tensors.items()}
        arguments = {k: v for k, v in settings.items() if k in ("stride", "dilation", "groups")}
        s = self.meant(settings)
        x = first_axes(wide["x"], s.layout, 2) - wide.get("x_zero_point", 0)
        zero = wide.get("weight_zero_point", torch.zeros(()))
        weight = wide["weight"] - zero.reshape(-1, 1, 1, 1)
        x, arguments["padding"] = padded_by_torch(x, weight, s.padding, s)
        y = torch.nn.functional.conv2d(x, weight, None, **arguments)
        return {"y": last_axes(y.int(), s.layout, 2)}


class QlinearConv2d(IntegerConv, of=define.QlinearConv2d):
    cases = tuple(
        Case(
            name,
            {
                "x": x,
                "x_scale": (),
                "x_zero_point": (),
                "weight": weight,
                "weight_scale": () if name == "groups" else weight[:1],
                "weight_zero_point": weight[:1] if name == "padded" else (),
                "y_scale": (),
                "y_zero_point": (),
                **({} if name == "unbatched" else {"bias": weight[:1]}),
            },
            settings,
            standard=name == STANDARD[0],
        )
        for name, x, weight, settings in (*PROBLEMS, STANDARD)
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, scales = self.meant(settings), ("x_scale", "weight_scale", "y_scale", "y_zero_point")
        operands = (*(arrays[name] for name in scales), arrays.get("bias"))
        y = oracle.requantise(self.exact_sums(s, arrays), *operands)
        return {"y": from_channels_first(y, arrays["x"].ndim, s.layout)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        raise NoPeer(
            "PyTorch's quantised convolution rounds otherwise, and takes quantised tensors"
        )
