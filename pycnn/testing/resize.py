"""Cases, oracle and PyTorch's answer: interpolation and of its gradient."""

from collections import Counter
from collections.abc import Mapping
from math import floor, prod
from typing import Any

import numpy as np

from pycnn.define import resize as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import resize as oracle
from pycnn.testing.case import Case
from pycnn.testing.reading import Ints, each
from pycnn.testing.tested import NoPeer, Settings, Tested, TestedGradient

CASES = (
    Case("nearest", {"x": (2, 3, 5, 7)}, {"scale_factor": 2}),
    Case("nearest to size", {"x": (2, 3, 5, 7)}, {"size": (8, 3)}),
    Case("nearest 3 axes NHWC", {"x": (1, 2, 3, 5, 6)}, {"size": (3, 7, 4), "layout": "NHWC"}),
    Case("nearest exact", {"x": (3, 2, 7)}, {"size": 10, "mode": "nearest-exact"}),
    Case("nearest exact, between", {"x": (2, 3, 8)}, {"size": 4, "mode": "nearest-exact"}),
    Case("linear", {"x": (2, 3, 7)}, {"scale_factor": 2.4, "mode": "linear"}),
    Case("bilinear", {"x": (2, 3, 5, 7)}, {"scale_factor": (2, 3), "mode": "bilinear"}),
    Case(
        "bilinear NHWC, corners",
        {"x": (2, 5, 7, 3)},
        {"size": (9, 4), "mode": "bilinear", "align_corners": True, "layout": "NHWC"},
    ),
    Case(
        "factor as given",
        {"x": (1, 2, 6, 5)},
        {"scale_factor": 1.7, "mode": "bilinear", "align_corners": False},
    ),
    Case(
        "factor recomputed",
        {"x": (1, 2, 6, 5)},
        {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True},
    ),
    Case("trilinear", {"x": (1, 2, 3, 5, 4)}, {"size": (5, 4, 9), "mode": "trilinear"}),
    Case("much smaller", {"x": (1, 2, 13, 17)}, {"size": (3, 5), "mode": "bilinear"}),
    Case(
        "ONNX nearest",
        {"x": (1, 2, 5, 7)},
        {"size": (9, 4), "coordinate_mode": "half_pixel", "nearest_mode": "round_prefer_floor"},
    ),
    Case(
        "ONNX nearest ceil",
        {"x": (1, 2, 5, 7)},
        {"size": (9, 4), "coordinate_mode": "asymmetric", "nearest_mode": "ceil"},
    ),
    Case(
        "ONNX symmetric",
        {"x": (1, 2, 5, 7)},
        {
            "scale_factor": (1.7, 0.6),
            "mode": "bilinear",
            "coordinate_mode": "half_pixel_symmetric",
        },
    ),
    Case(
        "to one pixel",
        {"x": (2, 3, 5, 7)},
        {"size": (1, 3), "mode": "bilinear", "coordinate_mode": "pytorch_half_pixel"},
    ),
    Case("empty", {"x": (0, 3, 5, 7)}, {"scale_factor": 2}),
    Case("bicubic", {"x": (2, 3, 5, 7)}, {"scale_factor": (2, 1.7), "mode": "bicubic"}),
    Case("bicubic to less", {"x": (1, 2, 13, 17)}, {"size": (3, 5), "mode": "bicubic"}),
    Case(
        "bicubic NHWC, corners",
        {"x": (2, 5, 7, 3)},
        {"size": (9, 4), "mode": "bicubic", "align_corners": True, "layout": "NHWC"},
    ),
    Case("bicubic of one", {"x": (1, 2, 1, 2)}, {"size": (4, 1), "mode": "bicubic"}),
    Case(
        "ONNX bicubic",
        {"x": (1, 2, 5, 7)},
        {"size": (9, 4), "mode": "bicubic", "coordinate_mode": "asymmetric"},
    ),
    Case(
        "antialiased",
        {"x": (1, 2, 13, 17)},
        {"size": (3, 5), "mode": "bilinear", "antialias": True},
    ),
    Case(
        "antialiased by factors",
        {"x": (2, 13, 10, 3)},
        {"scale_factor": (0.3, 1.7), "mode": "bilinear", "antialias": True, "layout": "NHWC"},
    ),
    Case(
        "antialiased bicubic",
        {"x": (1, 2, 13, 17)},
        {"size": (3, 21), "mode": "bicubic", "antialias": True},
    ),
    Case(
        "antialiased bicubic, corners",
        {"x": (1, 2, 13, 17)},
        {"size": (4, 6), "mode": "bicubic", "antialias": True, "align_corners": True},
    ),
    Case(
        "antialiased, empty",
        {"x": (0, 2, 13, 17)},
        {"size": (3, 5), "mode": "bilinear", "antialias": True},
    ),
    Case(
        "u-net decoder",
        {"x": (1, 32, 28, 28)},
        {"scale_factor": 2, "mode": "bilinear"},
        standard=True,
    ),
    Case("fpn top-down", {"x": (1, 32, 28, 28)}, {"scale_factor": 2}, standard=True),
    Case(
        "u-net decoder NHWC",
        {"x": (1, 28, 28, 32)},
        {"scale_factor": 2, "mode": "bilinear", "layout": "NHWC"},
        standard=True,
    ),
)


#: The conventions of PyTorch in ONNX's names: coordinates and rounding.
CONVENTIONS = {
    "nearest": ("asymmetric", "floor"),
    "nearest-exact": ("half_pixel", "round_prefer_ceil"),
}


def _spatial(shape: Ints, layout: str) -> Ints:
    """Extents of the spatial axes."""
    return shape[1:-1] if layout == "NHWC" else shape[2:]


def _axes(s: Any, extents: Ints, resized: Ints) -> list[tuple[int, oracle.Resized]]:
    """Every spatial axis with its number, as the oracle takes it."""
    linear = "align_corners" if s.align_corners else "half_pixel", None
    coordinate, nearest = CONVENTIONS.get(s.mode, linear)
    how = s.coordinate_mode or coordinate, s.nearest_mode or nearest, s.mode == "bicubic"
    fixed = s.scale_factor is None or s.recompute_scale_factor
    scales = each(None if fixed else s.scale_factor, len(extents))
    first = 1 if s.layout == "NHWC" else 2
    along = zip(extents, resized, scales, strict=True)
    return [(first + i, oracle.Resized(*axis, *how, s.antialias)) for i, axis in enumerate(along)]


class Interpolate(Tested, of=define.Interpolate):
    cases = CASES

    def oracle(self, settings: Settings, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = arrays["x"]
        return {"y": oracle.interpolate(x, self.axes(self.meant(settings), x))}

    def axes(self, s: Any, x: np.ndarray) -> Any:
        """Every spatial axis with its number."""
        extents = _spatial(x.shape, s.layout)
        if s.size is not None:
            resized = each(s.size, len(extents))
        else:
            scales = each(s.scale_factor, len(extents))
            resized = tuple(floor(n * scale) for n, scale in zip(extents, scales, strict=True))
        return _axes(s, extents, resized)

    def terms(self, settings: Settings, arrays: Mapping[str, np.ndarray]) -> int:
        s, x = self.meant(settings), arrays["x"]
        if s.mode != "bicubic" and not s.antialias:
            return int(2 ** (x.ndim - 2))
        return prod(len(oracle.shares(a.resized // 2, a)) for _, a in self.axes(s, x))

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        others = dict(settings)
        if others.pop("coordinate_mode", None) or others.pop("nearest_mode", None):
            raise NoPeer("PyTorch has no coordinate_mode and no nearest_mode")
        last = others.pop("layout", "NCHW") == "NHWC"
        x = tensors["x"].movedim(-1, 1) if last else tensors["x"]
        y = torch.nn.functional.interpolate(x, **others)
        if others.get("antialias") and y.shape[-1] == 1 < y.shape[-2]:
            raise NoPeer("PyTorch's antialiasing to one column repeats one row")
        return {"y": y.movedim(1, -1) if last else y}


class InterpolateBackward(TestedGradient, of=define.InterpolateBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        extents = _spatial(case.shapes["x"], case.settings.get("layout", "NCHW"))
        kept = {name: value for name, value in case.settings.items() if name != "size"}
        return {"input_size": extents, **kept}

    def oracle(self, settings: Settings, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"dx": oracle.interpolate_backward(arrays["dy"], self._axes(settings, arrays))}

    def terms(self, settings: Settings, arrays: Mapping[str, np.ndarray]) -> int:
        return prod(
            max(Counter(i for o in range(a.resized) for i, _ in oracle.shares(o, a)).values())
            for _, a in self._axes(settings, arrays)
        )

    def _axes(self, settings: Settings, arrays: Mapping[str, np.ndarray]) -> Any:
        s = self.meant(settings)
        resized = _spatial(arrays["dy"].shape, s.layout)
        return _axes(s, each(s.input_size, len(resized)), resized)
