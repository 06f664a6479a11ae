"""Cases, oracle and PyTorch's answer: batch norm with a sum and the rectified linear unit."""

from typing import Any

import numpy as np

from pycnn.define import norm_relu as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import norm as oracle
from pycnn.testing._norm_rules import case, named
from pycnn.testing.case import Case
from pycnn.testing.norm_batch import ALL, BatchNormTrain, _BatchNormBackward
from pycnn.testing.reading import channel_axis
from pycnn.testing.tested import Settings


def _onto(one: Case) -> Case:
    """The case with a residual."""
    shapes = {**one.shapes, "residual": one.shapes["x"]}
    return Case(f"{one.name} onto", shapes, one.settings, one.standard)


class BatchNormReluTrain(BatchNormTrain, of=define.BatchNormReluTrain):
    cases: tuple[Case, ...] = (
        case("vectors", (7, 5), ALL),
        _onto(case("sequence", (3, 5, 11), ALL, momentum=0.3, eps=0.1)),
        case("images", (2, 5, 7, 9), ALL),
        _onto(case("volumes", (2, 3, 3, 5, 2))),
        _onto(case("weight and mean", (2, 3, 5, 4), "running_mean weight")),
        _onto(case("whole vectors", (2, 3, 8, 16), ALL)),
        _onto(case("segments", (2, 2, 70, 73), "weight bias")),
        case("small maps", (5, 8, 3, 3), "weight bias"),
        case("nhwc", (2, 5, 7, 3), ALL, layout="NHWC"),
        _onto(case("nhwc vectors", (2, 3, 5, 16), ALL, layout="NHWC")),
        _onto(case("nhwc segments", (3, 31, 37, 5), "weight bias", layout="NHWC")),
        case("no channels", (2, 0, 4, 5), ALL),
        _onto(case("resnet50 layer", (2, 64, 28, 28), ALL, standard=True)),
        _onto(case("resnet50 layer nhwc", (4, 28, 28, 64), ALL, standard=True, layout="NHWC")),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        results = super().oracle(settings, arrays)
        residual = arrays.get("residual")
        total = results["y"] if residual is None else results["y"] + residual.astype(np.float64)
        return {**results, "y": np.where(total < 0, 0, total)}

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import relu

        rest = {name: t for name, t in tensors.items() if name != "residual"}
        results = super().torch(rest, settings)
        residual = tensors.get("residual")
        total = results["y"] if residual is None else results["y"] + residual
        return {**results, "y": relu(total)}


class BatchNormReluTrainBackward(_BatchNormBackward, of=define.BatchNormReluTrainBackward):
    def terms(self, settings: Settings, arrays: Arrays) -> dict[str, int]:
        return {**super().terms(settings, arrays), "dresidual": 1}

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        g = np.where(arrays["y"] <= 0, 0, arrays["dy"].astype(np.float64))
        operands: list[Any] = [g, *map(arrays.get, ("x", "mean", "rstd", "weight"))]
        operands.append(channel_axis(self.meant(settings).layout))
        return {**named(oracle.batch_norm_train_backward(*operands)), "dresidual": g}

    def torch_gradients(self, inputs: Any, upstream: Any, settings: Any) -> dict[str, Any]:
        wanted = ("dx", "dweight", "dbias", "dresidual")
        found = super(_BatchNormBackward, self).torch_gradients(inputs, upstream, settings)
        return {n: g for n, g in found.items() if n in wanted}
