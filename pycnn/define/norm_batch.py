"""Definitions of batch norm: with given statistics, and with those of the batch."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pycnn.define._norm_rules import (
    IMAGES,
    LAYOUTS,
    case,
    channel_axis,
    channel_count,
    channels_last,
    channels_second,
    check_parameters,
    parameter_gradients,
    positive,
    vector,
    wide,
)
from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, NoPeer, Operation, normal
from pycnn.define.validate import boolean, check_shape, number
from pycnn.define.views import View
from pycnn.plan import norm_batch as plans
from pycnn.plan.norm_batch import Channels
from pycnn.reference.cpu import norm as cpu
from pycnn.reference.oracle import norm as oracle
from pycnn.runtime.plan import Plan

#: Operations an element.
FLOPS = {"moments": 7, "apply": 4, "sums": 4, "gradient": 5}

RUNNING = ("running_mean", "running_var")
AFFINE = ("weight", "bias")
ALL = "running_mean running_var weight bias"


class Settings(NamedTuple):
    """How statistics are taken, and the share of a batch in the running ones."""

    channels: Channels
    momentum: float = 0.0

    @property
    def axis(self) -> int:
        return channel_axis(self.channels.layout)

    @property
    def eps(self) -> float:
        return self.channels.eps


def _per_channel(call: Call) -> int:
    x = call.views["x"]
    return prod(x.shape) // max(channel_count(x, call.settings.channels.layout), 1)


class _BatchNorm(Operation):
    family = "norm"
    layouts = LAYOUTS

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """16-bit values have running statistics of 32 bits, as networks keep them."""
        given = {}
        for name, shape in case.shapes.items():
            draw = positive if name == "running_var" else normal
            given[name] = draw(rng, shape, wide(dtype) if name in RUNNING else dtype)
        return given


class BatchNorm(_BatchNorm):
    """Normalised by running statistics."""

    name = "batch_norm"
    operands = (IMAGES, *(vector(n, False) for n in RUNNING), *(vector(n) for n in AFFINE))
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

    def infer(
        self,
        views: Mapping[str, View],
        training: Any = False,
        momentum: Any = 0.1,
        eps: Any = 1e-5,
        layout: Any = "NCHW",
    ) -> Inferred:
        x, c = views["x"], channel_count(views["x"], layout)
        check_parameters(views, (*RUNNING, *AFFINE), (c,), "the channels of x")
        if boolean("training", training):
            raise ValueError(
                "training=True; allowed: False (batch_norm_train normalises by the statistics of "
                "x and returns them)"
            )
        number("momentum", momentum)
        channels = Channels(layout, eps=number("eps", eps, 0.0))
        return Inferred(Settings(channels), {"y": (x.shape, None)})

    def plan(self, call: Call) -> Plan:
        return plans.given_statistics(call.views, call.dtype, call.settings.channels)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": _given(cpu.batch_norm, call, arrays, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": _given(oracle.batch_norm, call, arrays)}

    def flops(self, call: Call) -> int:
        return FLOPS["apply"] * prod(call.views["x"].shape)

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


def _given(function: Callable[..., Any], call: Call, arrays: Any, **more: Any) -> Any:
    others = [arrays.get(n) for n in (*RUNNING, *AFFINE)]
    s = call.settings
    return function(arrays["x"], *others, s.axis, s.eps, **more)


class _BatchNormBackward(Gradient):
    family = "norm"
    layouts = LAYOUTS

    def terms(self, call: Call) -> dict[str, int]:
        count = _per_channel(call)
        return {"dx": count, "dweight": count, "dbias": count}

    def torch_gradients(self, inputs: Any, upstream: Any, settings: Any) -> dict[str, Any]:
        found = super().torch_gradients(inputs, upstream, settings)
        return {n: g for n, g in found.items() if n in ("dx", "dweight", "dbias")}

    def _infer(self, views: Mapping[str, View], names: tuple[str, ...], layout: Any) -> int:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        c = channel_count(views["x"], layout)
        check_parameters(views, names, (c,), "the channels of x")
        return c


class BatchNormBackward(_BatchNormBackward):
    """Gradients where the statistics are constants."""

    name = "batch_norm_backward"
    operands = (
        Operand("dy"),
        IMAGES,
        *(vector(n, False) for n in RUNNING),
        vector("weight"),
    )

    def infer(self, views: Mapping[str, View], eps: Any = 1e-5, layout: Any = "NCHW") -> Inferred:
        c = self._infer(views, (*RUNNING, "weight"), layout)
        channels = Channels(layout, eps=number("eps", eps, 0.0))
        return Inferred(Settings(channels), parameter_gradients(views, (c,)))

    def plan(self, call: Call) -> Plan:
        return plans.given_statistics_backward(
            call.views, call.dtype, call.settings.channels, dict(call.outputs)
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return self._by(cpu.batch_norm_backward, call, arrays)

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._by(oracle.batch_norm_backward, call, arrays)

    def _by(self, function: Callable[..., Any], call: Call, arrays: Any) -> dict[str, Any]:
        given = [arrays.get(n) for n in ("dy", "x", *RUNNING, "weight")]
        results = function(*given, call.settings.axis, call.settings.eps)
        return dict(zip(call.outputs, results, strict=True))

    def flops(self, call: Call) -> int:
        return (FLOPS["sums"] + 1) * prod(call.views["x"].shape)


class BatchNormTrain(_BatchNorm):
    """Normalised by the statistics of the batch, which come out too."""

    name = "batch_norm_train"
    operands = (IMAGES, *(vector(n) for n in (*RUNNING, *AFFINE)))
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

    def infer(
        self,
        views: Mapping[str, View],
        momentum: Any = 0.1,
        eps: Any = 1e-5,
        layout: Any = "NCHW",
    ) -> Inferred:
        x, c = views["x"], channel_count(views["x"], layout)
        check_parameters(views, (*RUNNING, *AFFINE), (c,), "the channels of x")
        values = prod(x.shape) // c if c else 2
        if values < 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: {values} values for each channel; allowed: two or "
                "more in training, for there to be a variance"
            )
        channels = Channels(layout, eps=number("eps", eps, 0.0))
        outputs = {
            "y": (x.shape, None),
            "mean": ((c,), wide(x.dtype)),
            "rstd": ((c,), wide(x.dtype)),
        }
        outputs |= {f"new_{n}": ((c,), views[n].dtype) for n in RUNNING if n in views}
        return Inferred(Settings(channels, number("momentum", momentum)), outputs)

    def plan(self, call: Call) -> Plan:
        channels, momentum = call.settings
        outputs = dict(call.outputs)
        return plans.own_statistics(self.name, call.views, call.dtype, channels, outputs, momentum)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return self._by(cpu.batch_norm_train, call, arrays)

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._by(oracle.batch_norm_train, call, arrays)

    def _by(self, function: Callable[..., Any], call: Call, arrays: Any) -> dict[str, Any]:
        s = call.settings
        weight, bias = (arrays.get(n) for n in AFFINE)
        y, mean, rstd, variance = function(arrays["x"], weight, bias, s.axis, s.eps)
        results = {"y": y, "mean": mean, "rstd": rstd}
        for name, fresh in zip(RUNNING, (mean, variance), strict=True):
            if name in arrays:
                results[f"new_{name}"] = (1 - s.momentum) * arrays[name] + s.momentum * fresh
        return results

    def flops(self, call: Call) -> int:
        each = FLOPS["moments"] + FLOPS["apply"]
        return each * prod(call.views["x"].shape)

    def terms(self, call: Call) -> int:
        return _per_channel(call)

    def necessary_bytes(self, call: Call) -> int:
        """x is read twice: first for the statistics, which all of it goes into."""
        return call.bytes + prod(call.views["x"].shape) * call.outputs["y"].dtype.itemsize

    def invoke(
        self, function: Callable[..., Any], arrays: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        return tuple(a for a in function(**arrays, **settings) if a is not None)

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


BATCH_NORM, BATCH_NORM_TRAIN = BatchNorm(), BatchNormTrain()


class BatchNormTrainBackward(_BatchNormBackward):
    """Gradients where the statistics are those of the batch."""

    name = "batch_norm_train_backward"
    forward = BATCH_NORM_TRAIN
    operands = (
        Operand("dy"),
        IMAGES,
        *(vector(n, False) for n in ("mean", "rstd")),
        vector("weight"),
    )

    def settings(self, case: Case) -> dict[str, Any]:
        return {n: v for n, v in case.settings.items() if n == "layout"}

    def infer(self, views: Mapping[str, View], layout: Any = "NCHW") -> Inferred:
        c = self._infer(views, ("mean", "rstd", "weight"), layout)
        return Inferred(Settings(Channels(layout)), parameter_gradients(views, (c,)))

    def plan(self, call: Call) -> Plan:
        channels = call.settings.channels
        return plans.own_statistics_backward(
            self.name, call.views, call.dtype, channels, dict(call.outputs)
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return self._by(cpu.batch_norm_train_backward, call, arrays)

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._by(oracle.batch_norm_train_backward, call, arrays)

    def _by(self, function: Callable[..., Any], call: Call, arrays: Any) -> dict[str, Any]:
        given = [arrays.get(n) for n in ("dy", "x", "mean", "rstd", "weight")]
        return dict(zip(call.outputs, function(*given, call.settings.axis), strict=True))

    def flops(self, call: Call) -> int:
        each = FLOPS["sums"] + FLOPS["gradient"]
        return each * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """dy and x are read twice: first for the sums over all of them."""
        return call.bytes + 2 * prod(call.views["x"].shape) * call.outputs["dx"].dtype.itemsize


BatchNormBackward.forward = BATCH_NORM
BATCH_NORM_BACKWARD, BATCH_NORM_TRAIN_BACKWARD = BatchNormBackward(), BatchNormTrainBackward()

DEFINITIONS = (
    BATCH_NORM,
    BATCH_NORM_BACKWARD,
    BATCH_NORM_TRAIN,
    BATCH_NORM_TRAIN_BACKWARD,
)
