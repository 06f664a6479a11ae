"""Cases, oracle and PyTorch's answer: batch norm."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define import norm_batch as define
from pycnn.define._norm_rules import (
    channel_count,
    wide,
)
from pycnn.define.call import Call
from pycnn.define.norm_batch import AFFINE, RUNNING, _given
from pycnn.reference.oracle import norm as oracle
from pycnn.testing._norm_rules import case, channels_last, channels_second, positive
from pycnn.testing.case import Case
from pycnn.testing.tested import NoPeer, Tested, TestedGradient, normal

ALL = "running_mean running_var weight bias"


def _per_channel(call: Call) -> int:
    x = call.views["x"]
    return prod(x.shape) // max(channel_count(x, call.settings.channels.layout), 1)


class _BatchNorm(Tested, of=define._BatchNorm):
    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """16-bit values have running statistics of 32 bits, as networks keep them."""
        given = {}
        for name, shape in case.shapes.items():
            draw = positive if name == "running_var" else normal
            given[name] = draw(rng, shape, wide(dtype) if name in RUNNING else dtype)
        return given


class BatchNorm(_BatchNorm, of=define.BatchNorm):
    cases = (
        case("vectors", (7, 5), ALL),
        case("sequence", (3, 5, 11), ALL, eps=0.1),
        case("images", (2, 5, 7, 9), ALL),
        case("volumes", (2, 3, 3, 5, 2), "running_mean running_var"),
        case("weight alone", (2, 3, 5, 4), "running_mean running_var weight"),
        case("whole vectors", (2, 3, 8, 16), ALL),
        case("nhwc", (2, 5, 7, 3), ALL, layout="NHWC"),
        case("nhwc vectors", (2, 3, 5, 16), ALL, layout="NHWC"),
        case("empty", (0, 3, 4, 5), ALL),
        case("no channels", (2, 0, 4, 5), ALL),
        case("resnet50 layer", (2, 64, 28, 28), ALL, standard=True),
        case("resnet50 layer nhwc", (2, 28, 28, 64), ALL, standard=True, layout="NHWC"),
    )

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": _given(oracle.batch_norm, call, arrays)}

    def torch(self, tensors: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
        from torch.nn.functional import batch_norm

        rest = {**settings}
        layout = rest.pop("layout", "NCHW")
        given = {n: t.detach() if n in RUNNING else t for n, t in tensors.items() if n != "x"}
        y = batch_norm(channels_second(_some(tensors["x"]), layout), **given, **rest)
        return {"y": channels_last(y, layout)}


def _some(x: Any) -> Any:
    if not x.numel() and x.shape[0]:
        raise NoPeer("PyTorch fails on no channels")
    return x


class _BatchNormBackward(TestedGradient, of=define._BatchNormBackward):
    def terms(self, call: Call) -> dict[str, int]:
        count = _per_channel(call)
        return {"dx": count, "dweight": count, "dbias": count}

    def torch_gradients(self, inputs: Any, upstream: Any, settings: Any) -> dict[str, Any]:
        found = super().torch_gradients(inputs, upstream, settings)
        return {n: g for n, g in found.items() if n in ("dx", "dweight", "dbias")}


class BatchNormBackward(_BatchNormBackward, of=define.BatchNormBackward):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.op._by(oracle.batch_norm_backward, call, arrays)


class BatchNormTrain(_BatchNorm, of=define.BatchNormTrain):
    cases = (
        case("vectors", (7, 5), ALL),
        case("sequence", (3, 5, 11), ALL, momentum=0.3, eps=0.1),
        case("images", (2, 5, 7, 9), ALL),
        case("volumes", (2, 3, 3, 5, 2)),
        case("weight and mean", (2, 3, 5, 4), "running_mean weight"),
        case("whole vectors", (2, 3, 8, 16), ALL),
        case("segments", (2, 2, 70, 73), "weight bias"),
        case("nhwc", (2, 5, 7, 3), ALL, layout="NHWC"),
        case("nhwc vectors", (2, 3, 5, 16), ALL, layout="NHWC"),
        case("nhwc segments", (3, 31, 37, 5), "weight bias", layout="NHWC"),
        case("no channels", (2, 0, 4, 5), ALL),
        case("resnet50 layer", (2, 64, 28, 28), ALL, standard=True),
        case("resnet50 layer nhwc", (4, 28, 28, 64), ALL, standard=True, layout="NHWC"),
    )

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.op._by(oracle.batch_norm_train, call, arrays)

    def terms(self, call: Call) -> int:
        return _per_channel(call)

    def torch(self, tensors: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
        from torch.nn.functional import batch_norm

        layout, rest = settings.get("layout", "NCHW"), {**settings, "training": True}
        rest.pop("layout", None)
        given = {n: t.detach().clone() for n, t in tensors.items() if n in RUNNING}
        for name in RUNNING:
            given.setdefault(name, None)
        affine = {n: t for n, t in tensors.items() if n in AFFINE}
        if (given["running_mean"] is None) != (given["running_var"] is None):
            raise NoPeer("PyTorch has both running statistics or none")
        y = batch_norm(channels_second(_some(tensors["x"]), layout), **given, **affine, **rest)
        updated = {f"new_{n}": t for n, t in given.items() if t is not None}
        return {"y": channels_last(y, layout), **updated}


class BatchNormTrainBackward(_BatchNormBackward, of=define.BatchNormTrainBackward):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.op._by(oracle.batch_norm_train_backward, call, arrays)
