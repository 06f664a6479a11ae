"""Cases, oracle and PyTorch's answer: the losses over class indices."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import loss as define
from pycnn.define._class_loss import parameters
from pycnn.define.call import Call
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import loss as oracle
from pycnn.testing._class_loss import ClassLossBackward, ClassLossForward, cases


class CrossEntropy(ClassLossForward, of=define.CrossEntropy):
    cases = cases("logits", {"label_smoothing": 0.1})

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"loss": oracle.cross_entropy(*self.op.arguments(call, arrays))}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        return self.torch_loss("cross_entropy", tensors, settings)


class CrossEntropyBackward(ClassLossBackward, of=define.CrossEntropyBackward):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = arrays["logits"], arrays["target"], arrays.get("weight"), *parameters(call)
        return {"dlogits": oracle.cross_entropy_backward(arrays["dy"], *given)}


class NllLoss(ClassLossForward, of=define.NllLoss):
    cases = cases("log_probabilities")

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"loss": oracle.nll_loss(*self.op.arguments(call, arrays)[:-1])}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        return self.torch_loss("nll_loss", tensors, settings)


class NllLossBackward(ClassLossBackward, of=define.NllLossBackward):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = arrays["log_probabilities"]
        given = x.shape, arrays["target"], arrays.get("weight"), *parameters(call)[:-1]
        return {"dlog_probabilities": oracle.nll_loss_backward(arrays["dy"], *given)}
