"""Cases, oracle and PyTorch's answer: the losses over class indices."""

from typing import Any

import numpy as np

from pycnn.define import loss as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import loss as oracle
from pycnn.testing._class_loss import ClassLossBackward, ClassLossForward, cases
from pycnn.testing.tested import Settings


class CrossEntropy(ClassLossForward, of=define.CrossEntropy):
    cases = cases("logits", {"label_smoothing": 0.1})

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        operands = arrays["logits"], arrays["target"], arrays.get("weight")
        how = s.ignore_index, s.reduction, s.label_smoothing
        if operands[0].shape == operands[1].shape:
            return {"loss": oracle.soft_cross_entropy(*operands, *how[1:])}
        return {"loss": oracle.cross_entropy(*operands, *how)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        return self.torch_loss("cross_entropy", tensors, settings)


class CrossEntropyBackward(ClassLossBackward, of=define.CrossEntropyBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        operands = arrays["dy"], arrays["logits"], arrays["target"], arrays.get("weight")
        how = s.ignore_index, s.reduction, s.label_smoothing
        if operands[1].shape == operands[2].shape:
            return {"dlogits": oracle.soft_cross_entropy_backward(*operands, *how[1:])}
        return {"dlogits": oracle.cross_entropy_backward(*operands, *how)}


class NllLoss(ClassLossForward, of=define.NllLoss):
    cases = cases("log_probabilities")

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        operands = arrays["log_probabilities"], arrays["target"], arrays.get("weight")
        return {"loss": oracle.nll_loss(*operands, s.ignore_index, s.reduction)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        return self.torch_loss("nll_loss", tensors, settings)


class NllLossBackward(ClassLossBackward, of=define.NllLossBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, shape = self.meant(settings), arrays["log_probabilities"].shape
        operands = arrays["dy"], shape, arrays["target"], arrays.get("weight")
        dx = oracle.nll_loss_backward(*operands, s.ignore_index, s.reduction)
        return {"dlog_probabilities": dx}
