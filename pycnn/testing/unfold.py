"""Cases, oracle and PyTorch's answer: unfold and fold, each the gradient of the other."""

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from pycnn.define import unfold as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import unfold as oracle
from pycnn.testing.case import Case
from pycnn.testing.reading import Ints, each, positions
from pycnn.testing.tested import Settings, Tested

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


def _how(s: Any) -> list[Any]:
    """Kernel, dilation, padding and stride."""
    return [each(value, 2) for value in (s.kernel_size, s.dilation, s.padding, s.stride)]


def _unfolded(name: str, s: Any) -> Ints:
    """Shape of the columns of a case."""
    *images, channels, height, width = EXTENTS[name]
    windows = prod(
        positions(extent, taps, step, (pad, pad), apart)
        for extent, taps, apart, pad, step in zip((height, width), *_how(s), strict=True)
    )
    return (*images, channels * prod(each(s.kernel_size, 2)), windows)


class Unfold(Tested, of=define.Unfold):
    cases = tuple(
        Case(name, {"x": EXTENTS[name]}, settings, standard=name == "vgg layer")
        for name, settings in SETTINGS.items()
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        x, how = arrays["x"], _how(self.meant(settings))
        return {"y": oracle.unfold(x, *how) if x.ndim == 4 else oracle.unfold(x[None], *how)[0]}


class Fold(Tested, of=define.Fold):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """What `Unfold` gives in its cases."""
        return [
            Case(
                name,
                {"x": _unfolded(name, self.meant(settings))},
                {"output_size": EXTENTS[name][-2:], **settings},
                standard=name == "vgg layer",
            )
            for name, settings in SETTINGS.items()
        ]

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        how = [each(s.output_size, 2), *_how(s)]
        return {"y": oracle.fold(x, *how) if x.ndim == 3 else oracle.fold(x[None], *how)[0]}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return prod(each(self.meant(settings).kernel_size, 2))
