"""Cases, oracle and PyTorch's answer: what only moves elements."""

from dataclasses import replace
from typing import Any

import numpy as np

from pycnn.define import movement as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import movement as oracle
from pycnn.testing.case import Case
from pycnn.testing.reading import channel_axis
from pycnn.testing.tested import NoPeer, Settings, Tested, numbered


def _numbered(*shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors[0], tensors[1], ..."""
    return numbered("tensors", shapes)


class Permute(Tested, of=define.Permute):
    cases = (
        Case("matrix", {"x": (37, 45)}, {"axes": (1, 0)}),
        Case("scalar", {"x": ()}, {"axes": ()}),
        Case("to NHWC", {"x": (2, 3, 5, 7)}, {"axes": (0, 2, 3, 1)}),
        Case("to NCHW", {"x": (2, 5, 7, 67)}, {"axes": (0, 3, 1, 2)}),
        Case("short rows to vectors", {"x": (2, 80, 3, 5)}, {"axes": (0, 2, 3, 1)}),
        Case("vectors to short rows", {"x": (1, 7, 3, 48)}, {"axes": (0, 3, 1, 2)}),
        Case("rows stay", {"x": (3, 5, 2, 12)}, {"axes": (1, -4, 2, 3)}),
        Case("all move", {"x": (2, 3, 5, 2, 7)}, {"axes": (3, 1, 4, 0, 2)}),
        Case("nothing moves", {"x": (2, 3, 4)}, {"axes": (0, 1, 2)}),
        Case("empty", {"x": (3, 0, 5)}, {"axes": (2, 0, 1)}),
        Case("resnet50 to NHWC", {"x": (2, 64, 28, 28)}, {"axes": (0, 2, 3, 1)}, standard=True),
        Case("image to NCHW", {"x": (1, 112, 112, 3)}, {"axes": (0, 3, 1, 2)}, standard=True),
        Case("same rows", {"x": (24, 16, 48)}, {"axes": (1, 0, 2)}, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.permute(arrays["x"], settings["axes"])}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        return {"y": tensors["x"].permute(settings["axes"])}


class Concat(Tested, of=define.Concat):
    cases = (
        Case("channels", _numbered((2, 3, 5, 7), (2, 1, 5, 7), (2, 4, 5, 7)), {"axis": 1}),
        Case("one", _numbered((5, 3))),
        Case("rows", _numbered((3, 5), (2, 5))),
        Case("last axis", _numbered((3, 5, 2), (3, 5, 3), (3, 5, 1)), {"axis": -1}),
        Case("whole vectors", _numbered((3, 16), (3, 32)), {"axis": 1}),
        Case("one is empty", _numbered((2, 3), (2, 0), (2, 2)), {"axis": 1}),
        Case("empty", _numbered((0, 3), (0, 2)), {"axis": 1}),
        Case(
            "densenet layer",
            _numbered((2, 64, 28, 28), (2, 32, 28, 28), (2, 32, 28, 28)),
            {"axis": 1},
            standard=True,
        ),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.concat(list(arrays.values()), self.meant(settings).axis)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        return {"y": torch.cat(list(tensors.values()), settings.get("axis", 0))}


class Split(Tested, of=define.Split):
    cases = (
        Case("channels", {"x": (2, 7, 5, 3)}, {"split_size_or_sections": (3, 4), "axis": 1}),
        Case("by size", {"x": (7, 3)}, {"split_size_or_sections": 3}),
        Case("last axis", {"x": (2, 6)}, {"split_size_or_sections": [1, 0, 5], "axis": -1}),
        Case("empty", {"x": (0, 3)}, {"split_size_or_sections": 2}),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        sizes, extent = s.split_size_or_sections, x.shape[s.axis]
        if isinstance(sizes, int):
            starts = range(0, max(extent, 1), sizes)
            sizes = [min(sizes, extent - start) for start in starts]
        return numbered("y", oracle.split(x, sizes, s.axis))

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        sections = settings["split_size_or_sections"]
        return numbered("y", torch.split(tensors["x"], sections, settings.get("axis", 0)))


class ChannelShuffle(Tested, of=define.ChannelShuffle):
    cases = (
        Case("pixels", {"x": (2, 6, 5, 3)}, {"groups": 3}),
        Case("NHWC", {"x": (2, 5, 3, 6)}, {"groups": 2, "layout": "NHWC"}),
        Case("1 axis", {"x": (2, 10, 7)}, {"groups": 5}),
        Case("3 axes", {"x": (2, 4, 3, 2, 5)}, {"groups": 2}),
        Case("one group", {"x": (2, 3, 5)}, {"groups": 1}),
        Case("empty", {"x": (0, 6, 5, 3)}, {"groups": 3}),
        Case("shufflenet stage 2", {"x": (4, 116, 14, 14)}, {"groups": 2}, standard=True),
        Case(
            "shufflenet stage 2 NHWC",
            {"x": (4, 14, 14, 116)},
            {"groups": 2, "layout": "NHWC"},
            standard=True,
        ),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        return {"y": oracle.channel_shuffle(arrays["x"], s.groups, channel_axis(s.layout))}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        x, groups = tensors["x"], settings["groups"]
        if settings.get("layout") == "NHWC":
            return {"y": torch.channel_shuffle(x.movedim(-1, 1), groups).movedim(1, -1)}
        return {"y": torch.channel_shuffle(x, groups)}


def _blocks(setting: str, *cases: Case) -> tuple[Case, ...]:
    """Cases by their extent of a block, which is called `setting`."""
    return tuple(
        replace(c, settings={setting: c.settings["r"], **_without(c.settings)}) for c in cases
    )


def _without(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "r"}


_UP = (
    Case("twice", {"x": (2, 12, 3, 5)}, {"r": 2}),
    Case("thrice, unbatched", {"x": (9, 4, 3)}, {"r": 3}),
    Case("NHWC", {"x": (2, 3, 5, 8)}, {"r": 2, "layout": "NHWC"}),
    Case("unbatched, NHWC", {"x": (3, 5, 12)}, {"r": 2, "layout": "NHWC"}),
    Case("by one", {"x": (2, 3, 4, 5)}, {"r": 1}),
    Case("empty", {"x": (0, 4, 3, 5)}, {"r": 2}),
    Case("super-resolution", {"x": (1, 36, 56, 56)}, {"r": 3}, standard=True),
)
_DOWN = (
    Case("half", {"x": (2, 3, 6, 10)}, {"r": 2}),
    Case("third, unbatched", {"x": (2, 12, 9)}, {"r": 3}),
    Case("NHWC", {"x": (2, 6, 10, 3)}, {"r": 2, "layout": "NHWC"}),
    Case("by one", {"x": (2, 3, 4, 5)}, {"r": 1}),
    Case("empty", {"x": (0, 4, 6, 4)}, {"r": 2}),
    Case("image", {"x": (1, 3, 224, 224)}, {"r": 4}, standard=True),
)


class _Blocks(Tested, of=define._Blocks):
    def meaning(self, settings: Settings) -> tuple[int, str, bool]:
        """Extent of a block, order of the channels, and whether these are last."""
        s = vars(self.meant(settings))
        return s[self.op.setting], s.get("mode", "CRD"), s["layout"] == "NHWC"

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        r, order, last = self.meaning(settings)
        x = arrays["x"] if last else np.moveaxis(arrays["x"], -3, -1)
        y = (oracle.to_blocks if self.op.up else oracle.from_blocks)(x, r, order)
        return {"y": y if last else np.moveaxis(y, -1, -3)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import pixel_shuffle, pixel_unshuffle

        r, order, last = self.meaning(settings)
        x = tensors["x"].movedim(-1, -3) if last else tensors["x"]
        if self.op.up:
            if order == "DCR":
                x = x.unflatten(-3, (r * r, -1)).transpose(-3, -4).flatten(-4, -3)
            y = pixel_shuffle(x, r)
        else:
            if not x.numel():
                raise NoPeer("PyTorch's pixel_unshuffle does nothing to an empty batch")
            y = pixel_unshuffle(x, r)
            if order == "DCR":
                y = y.unflatten(-3, (-1, r * r)).transpose(-3, -4).flatten(-4, -3)
        return {"y": y.movedim(-3, -1) if last else y}


class PixelShuffle(_Blocks, of=define.PixelShuffle):
    cases = _blocks("upscale_factor", *_UP)


class PixelUnshuffle(_Blocks, of=define.PixelUnshuffle):
    cases = _blocks("downscale_factor", *_DOWN)


class DepthToSpace(_Blocks, of=define.DepthToSpace):
    cases = (
        *_blocks("block_size", *_UP),
        Case("as pixel_shuffle", {"x": (2, 12, 3, 5)}, {"block_size": 2, "mode": "CRD"}),
    )


class SpaceToDepth(_Blocks, of=define.SpaceToDepth):
    cases = (
        *_blocks("block_size", *_DOWN),
        Case("as pixel_unshuffle", {"x": (2, 3, 6, 10)}, {"block_size": 2, "mode": "CRD"}),
    )
