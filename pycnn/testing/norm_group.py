"""Cases, oracle and PyTorch's answer: group and instance norm."""

from typing import Any

import numpy as np

from pycnn.define import norm_group as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import norm as oracle
from pycnn.testing._norm_rules import (
    RUNNING,
    case,
    channels_last,
    channels_second,
    named,
    with_running,
)
from pycnn.testing.case import Case
from pycnn.testing.reading import channel_axis
from pycnn.testing.tested import NoPeer, Settings, Tested, TestedGradient

GIVEN = "running_mean running_var weight bias"


class _ByGroup(Tested, of=define._ByGroup):
    def groups(self, s: Any, channels: int) -> int:
        """How many groups the channels of an image form."""
        return int(s.num_groups)

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        axis = channel_axis(s.layout)
        affine = arrays.get("weight"), arrays.get("bias")
        groups = self.groups(s, x.shape[axis])
        return {"y": oracle.group_norm(x, groups, *affine, axis, s.eps)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        s, x = self.meant(settings), arrays["x"]
        groups = self.groups(s, x.shape[channel_axis(s.layout)])
        return max(x.size // max(len(x) * groups, 1), 1)


class GroupNorm(_ByGroup, of=define.GroupNorm):
    cases = (
        case("vectors", (3, 6), "weight bias", num_groups=2),
        case("sequence", (3, 6, 11), "weight bias", num_groups=3, eps=0.1),
        case("images", (2, 6, 5, 7), "weight bias", num_groups=2),
        case("whole vectors", (2, 4, 4, 8), "weight bias", num_groups=2),
        case("one group", (2, 3, 3, 5, 2), num_groups=1),
        case("weight alone", (2, 5, 3, 4), "weight", num_groups=5),
        case("long", (1, 4, 37, 41), "weight bias", num_groups=2),
        case("beyond the chip", (1, 2, 120, 110), "weight bias", num_groups=1),
        case("nhwc", (2, 5, 7, 6), "weight bias", num_groups=3, layout="NHWC"),
        case("nhwc vectors", (2, 3, 5, 16), "weight bias", num_groups=2, layout="NHWC"),
        case("empty", (0, 4, 3, 5), "weight bias", num_groups=2),
        case("resnet50 layer", (1, 64, 28, 28), "weight bias", num_groups=32, standard=True),
        case(
            "resnet50 layer nhwc",
            (2, 28, 28, 64),
            "weight bias",
            num_groups=32,
            layout="NHWC",
            standard=True,
        ),
    )

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import group_norm

        rest = {**settings}
        layout = rest.pop("layout", "NCHW")
        operands = {n: t for n, t in tensors.items() if n != "x"}
        y = group_norm(channels_second(tensors["x"], layout), **operands, **rest)
        return {"y": channels_last(y, layout)}


def _images(x: np.ndarray, s: Any) -> tuple[int, int]:
    """Images, and channels of each."""
    return x.shape[0], x.shape[channel_axis(s.layout)]


class InstanceNorm(_ByGroup, of=define.InstanceNorm):
    def groups(self, s: Any, channels: int) -> int:
        return channels

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        return with_running(case, rng, dtype)

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        if s.use_input_stats:
            results = super().oracle(settings, arrays)
            if "running_mean" in arrays:
                values = np.moveaxis(x, channel_axis(s.layout), 1).reshape(*_images(x, s), -1)
                fresh = values.mean(2, "f8"), values.var(2, "f8", ddof=1)
                for name, new in zip(RUNNING, fresh, strict=True):
                    kept = (1 - s.momentum) * arrays[name].astype("f8")
                    results[f"new_{name}"] = kept + s.momentum * new.mean(axis=0)
            return results
        mean, var = (arrays[n] for n in RUNNING)
        affine = arrays.get("weight"), arrays.get("bias")
        return {"y": oracle.batch_norm(x, mean, var, *affine, channel_axis(s.layout), s.eps)}

    cases = (
        case("sequence", (3, 5, 11), "weight bias", eps=0.1),
        case("images", (2, 5, 7, 9), "weight bias"),
        case("whole vectors", (2, 3, 4, 8), "weight"),
        case("volumes", (2, 3, 3, 5, 2)),
        case("beyond the chip", (1, 2, 120, 110), "weight bias"),
        case("nhwc", (2, 5, 7, 3), "weight bias", layout="NHWC"),
        case("nhwc vectors", (2, 3, 5, 16), layout="NHWC"),
        case("empty", (0, 3, 4, 5), "weight bias"),
        case("updated", (3, 5, 11), "running_mean running_var weight", momentum=0.3),
        case("updated nhwc", (2, 5, 7, 3), "running_mean running_var", layout="NHWC"),
        case("given", (2, 5, 7, 9), GIVEN, use_input_stats=False),
        case("given nhwc", (2, 5, 7, 3), GIVEN, layout="NHWC", use_input_stats=False, eps=0.1),
        case("given, one value", (2, 3, 1, 1), GIVEN, use_input_stats=False),
        case("dcgan layer", (1, 64, 32, 32), "weight bias", standard=True),
        case("dcgan layer nhwc", (2, 32, 32, 64), "weight bias", layout="NHWC", standard=True),
    )

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import instance_norm

        if not tensors["x"].numel():
            raise NoPeer("PyTorch's instance_norm fails on an empty batch")

        rest = {**settings}
        layout = rest.pop("layout", "NCHW")
        operands = {n: t.detach() if n in RUNNING else t for n, t in tensors.items() if n != "x"}
        y = instance_norm(channels_second(tensors["x"], layout), **operands, **rest)
        y = y.flatten().view(y.shape)  # PyTorch 2.13 misreads a permuted gradient of one image
        changed = {f"new_{n}": operands[n] for n in RUNNING if n in operands}
        return {"y": channels_last(y, layout), **changed}


class InstanceNormBackward(TestedGradient, of=define.InstanceNormBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, (dy, x) = self.meant(settings), (arrays["dy"], arrays["x"])
        axis, weight = channel_axis(s.layout), arrays.get("weight")
        if s.use_input_stats:
            return named(oracle.group_norm_backward(dy, x, x.shape[axis], weight, axis, s.eps))
        mean, var = (arrays[n] for n in RUNNING)
        return named(oracle.batch_norm_backward(dy, x, mean, var, weight, axis, s.eps))

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        x = arrays["x"]
        return max(x.size // max(x.shape[channel_axis(self.meant(settings).layout)], 1), 1)


class _ByGroupBackward(TestedGradient, of=define._ByGroupBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        axis = channel_axis(s.layout)
        groups = self.forward.groups(s, x.shape[axis])
        operands = arrays["dy"], x, groups, arrays.get("weight"), axis, s.eps
        return named(oracle.group_norm_backward(*operands))

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        x, behind_mean = arrays["x"], self.forward.terms(settings, arrays)
        channels = x.shape[channel_axis(self.meant(settings).layout)]
        return max(behind_mean, x.size // max(channels, 1))
