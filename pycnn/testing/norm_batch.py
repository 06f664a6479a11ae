"""Cases, oracle and PyTorch's answer: batch norm."""

from typing import Any

import numpy as np

from pycnn.define import norm_batch as define
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

AFFINE = ("weight", "bias")
ALL = "running_mean running_var weight bias"


def _per_channel(x: np.ndarray, layout: str) -> int:
    """Elements of a channel, of all images."""
    return x.size // max(x.shape[channel_axis(layout)], 1)


class _BatchNorm(Tested, of=define._BatchNorm):
    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        return with_running(case, rng, dtype)


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

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        operands = [*map(arrays.get, ("x", *RUNNING, *AFFINE)), channel_axis(s.layout), s.eps]
        return {"y": oracle.batch_norm(*operands)}

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import batch_norm

        rest = {**settings}
        layout = rest.pop("layout", "NCHW")
        operands = {n: t.detach() if n in RUNNING else t for n, t in tensors.items() if n != "x"}
        y = batch_norm(channels_second(_some(tensors["x"]), layout), **operands, **rest)
        return {"y": channels_last(y, layout)}


def _some(x: Any) -> Any:
    if not x.numel() and x.shape[0]:
        raise NoPeer("PyTorch fails on no channels")
    return x


class _BatchNormBackward(TestedGradient, of=define._BatchNormBackward):
    def terms(self, settings: Settings, arrays: Arrays) -> dict[str, int]:
        count = _per_channel(arrays["x"], self.meant(settings).layout)
        return {"dx": count, "dweight": count, "dbias": count}

    def torch_gradients(self, inputs: Any, upstream: Any, settings: Any) -> dict[str, Any]:
        gradients = super().torch_gradients(inputs, upstream, settings)
        return {n: g for n, g in gradients.items() if n in ("dx", "dweight", "dbias")}


class BatchNormBackward(_BatchNormBackward, of=define.BatchNormBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, names = self.meant(settings), ("dy", "x", *RUNNING, "weight")
        operands = [*map(arrays.get, names), channel_axis(s.layout), s.eps]
        return named(oracle.batch_norm_backward(*operands))


class BatchNormTrain(_BatchNorm, of=define.BatchNormTrain):
    cases: tuple[Case, ...] = (
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

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        operands = [*map(arrays.get, ("x", *AFFINE)), channel_axis(s.layout), s.eps]
        y, mean, rstd, variance = oracle.batch_norm_train(*operands)
        results = {"y": y, "mean": mean, "rstd": rstd}
        for name, fresh in zip(RUNNING, (mean, variance), strict=True):
            if name in arrays:
                old = arrays[name].astype(np.float64)
                with np.errstate(over="ignore", invalid="ignore"):
                    if arrays["x"].dtype != np.float64:  # a sum that overflows, times no momentum
                        fresh = fresh.astype(np.float32)
                    results[f"new_{name}"] = (1 - s.momentum) * old + s.momentum * fresh
        return results

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return _per_channel(arrays["x"], self.meant(settings).layout)

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import batch_norm

        layout, rest = settings.get("layout", "NCHW"), {**settings, "training": True}
        rest.pop("layout", None)
        operands = {n: t.detach().clone() for n, t in tensors.items() if n in RUNNING}
        for name in RUNNING:
            operands.setdefault(name, None)
        affine = {n: t for n, t in tensors.items() if n in AFFINE}
        if (operands["running_mean"] is None) != (operands["running_var"] is None):
            raise NoPeer("PyTorch has both running statistics or none")
        y = batch_norm(channels_second(_some(tensors["x"]), layout), **operands, **affine, **rest)
        updated = {f"new_{n}": t for n, t in operands.items() if t is not None}
        return {"y": channels_last(y, layout), **updated}


class BatchNormTrainBackward(_BatchNormBackward, of=define.BatchNormTrainBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        names = "dy", "x", "mean", "rstd", "weight"
        operands: list[Any] = [*map(arrays.get, names), channel_axis(self.meant(settings).layout)]
        return named(oracle.batch_norm_train_backward(*operands))
