"""Cases, oracle and PyTorch's answer: sampling at the points of a grid, and its gradients."""

from collections import Counter
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from pycnn.define import grid_sample as define
from pycnn.define.operation import Arrays
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import grid_sample as oracle
from pycnn.reference.oracle.grid_sample import Sampler
from pycnn.testing.case import Case
from pycnn.testing.tested import NoPeer, Settings, Tested, TestedGradient, normal

Arrayed = Mapping[str, np.ndarray]

PLANE = {"x": (2, 3, 5, 7), "grid": (2, 4, 6, 2)}
VOLUME = {"x": (1, 2, 3, 5, 4), "grid": (1, 2, 3, 5, 3)}


def _settings(mode: str, padding: str, corners: bool) -> dict[str, Any]:
    chosen = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    defaults = {"mode": "bilinear", "padding_mode": "zeros"}
    return {name: value for name, value in chosen.items() if defaults.get(name) != value}


def _named(mode: str, padding: str, corners: bool) -> str:
    return f"{mode}, {padding}" + (", corners" if corners else "")


CASES = (
    Case("defaults", PLANE, {}),
    *(
        Case(_named(*how), PLANE, _settings(*how))
        for how in product(
            ("nearest", "bilinear", "bicubic"), ("zeros", "border", "reflection"), (False, True)
        )
    ),
    *(
        Case(f"volume, {_named(*how)}", VOLUME, _settings(*how))
        for how in (
            ("nearest", "border", False),
            ("bilinear", "zeros", False),
            ("bilinear", "reflection", True),
        )
    ),
    Case("one element", {"x": (2, 1, 1, 1), "grid": (2, 3, 1, 2)}, {"align_corners": True}),
    Case("several blocks", {"x": (1, 2, 21, 19), "grid": (1, 17, 23, 2)}, {}),
    Case("empty", {"x": (0, 3, 5, 7), "grid": (0, 4, 6, 2)}, {}),
    Case("no points", {"x": (2, 3, 5, 7), "grid": (2, 0, 6, 2)}, {}),
    Case("spatial transformer", {"x": (1, 32, 28, 28), "grid": (1, 28, 28, 2)}, {}, standard=True),
)


class GridSample(Tested, of=define.GridSample):
    cases = CASES

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Points of which some are outside."""
        grid = rng.uniform(-1.4, 1.4, case.shapes["grid"]).astype(numpy_dtype(dtype))
        return {"x": normal(rng, case.shapes["x"], dtype), "grid": grid}

    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        sampler = self.sampler(settings)
        return {"y": oracle.grid_sample(arrays["x"], arrays["grid"], sampler)}

    def sampler(self, settings: Settings) -> Sampler:
        """The settings, as the oracle takes them."""
        s = self.meant(settings)
        return Sampler(s.mode, s.padding_mode, bool(s.align_corners))

    def terms(self, settings: Settings, arrays: Arrayed) -> int:
        width = {"nearest": 1, "bilinear": 2, "bicubic": 4}[self.meant(settings).mode]
        return int(width ** (arrays["x"].ndim - 2))

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import grid_sample

        if not tensors["grid"].isfinite().all():
            raise NoPeer("PyTorch's vectors and its loops clip a NaN to different ends")
        how = {"align_corners": False, **settings}
        return {"y": grid_sample(tensors["x"], tensors["grid"], **how)}


class GridSampleBackward(TestedGradient, of=define.GridSampleBackward):
    def oracle(self, settings: Settings, arrays: Arrayed) -> dict[str, np.ndarray]:
        operands = arrays["dy"], arrays["x"], arrays["grid"]
        dx, dgrid = oracle.grid_sample_backward(*operands, self.forward.sampler(settings))
        return {"dx": dx, "dgrid": dgrid}

    def terms(self, settings: Settings, arrays: Arrayed) -> dict[str, int]:
        x, grid, sampler = arrays["x"], arrays["grid"], self.forward.sampler(settings)
        touched = Counter(
            (point[0], *(tap.element for tap in near))
            for point, taps in oracle.each_point(x, grid, sampler)
            for near in taps
        )
        taps = self.forward.terms(settings, arrays)
        return {"dx": max(touched.values(), default=1), "dgrid": x.shape[1] * taps}
