"""Cases, oracle and PyTorch's answer: unfold and fold, each the gradient of the other."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.define import unfold as define
from pycnn.define.call import Call
from pycnn.define.unfold import UNFOLD, UnfoldSettings
from pycnn.define.views import View
from pycnn.reference.oracle import unfold as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 2},
    "all different": {
        "kernel_size": (3, 2),
        "dilation": (1, 2),
        "padding": (2, 1),
        "stride": (2, 1),
    },
    "dilated": {"kernel_size": 3, "dilation": 2, "padding": 2},
    "far apart": {"kernel_size": (1, 2), "stride": (3, 4)},
    "one image": {"kernel_size": (2, 3), "padding": (0, 1)},
    "large window": {"kernel_size": (9, 8), "padding": (4, 3)},
    "empty": {"kernel_size": 2},
    "vgg layer": {"kernel_size": 3, "padding": 1},
}


EXTENTS = {
    "plain": (2, 3, 5, 7),
    "all different": (2, 3, 9, 7),
    "dilated": (1, 2, 7, 9),
    "far apart": (2, 1, 8, 11),
    "one image": (3, 5, 7),
    "large window": (1, 1, 4, 6),
    "empty": (0, 3, 5, 7),
    "vgg layer": (1, 8, 28, 28),
}


def _unfolded(name: str) -> tuple[int, ...]:
    """Shape of the columns of a case."""
    args = UNFOLD.with_defaults(SETTINGS[name])
    return UNFOLD.infer({"x": View(EXTENTS[name], (), "float32")}, args).outputs["y"][0]


class Unfold(Tested, of=define.Unfold):
    cases = tuple(
        Case(name, {"x": EXTENTS[name]}, settings, standard=name == "vgg layer")
        for name, settings in SETTINGS.items()
    )

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: UnfoldSettings = call.settings
        y = oracle.unfold(arrays["x"].reshape(s.extents), *s.arguments)
        return {"y": y.reshape(call.outputs["y"].shape)}


class Fold(Tested, of=define.Fold):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """What `Unfold` gives in its cases."""
        return [
            Case(
                name,
                {"x": _unfolded(name)},
                {"output_size": EXTENTS[name][-2:], **settings},
                standard=name == "vgg layer",
            )
            for name, settings in SETTINGS.items()
        ]

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: UnfoldSettings = call.settings
        x = arrays["x"].reshape(s.extents[0], *arrays["x"].shape[-2:])
        y = oracle.fold(x, (s.extents[2], s.extents[3]), *s.arguments)
        return {"y": y.reshape(call.outputs["y"].shape)}

    def terms(self, call: Call) -> int:
        return prod(call.settings.window.kernel)
