"""Cases, oracle and PyTorch's answer: the products of matrices."""

from typing import Any

import numpy as np

from pycnn.define import gemm as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import gemm as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Settings, Tested, TestedGradient


class Gemm(Tested, of=define.Gemm):
    cases = (
        Case("plain", {"a": (21, 35), "b": (35, 19)}),
        Case("bias", {"a": (21, 35), "b": (35, 19), "bias": (19,)}, {"relu": True}),
        Case("bias of rows", {"a": (21, 35), "b": (35, 19), "bias": (21, 1)}),
        Case("transposed a", {"a": (35, 21), "b": (35, 19)}, {"transpose_a": True}),
        Case("batch", {"a": (3, 21, 35), "b": (3, 19, 35)}, {"transpose_b": True}),
        Case("nothing to sum", {"a": (3, 0), "b": (0, 5), "bias": (5,)}),
        Case("no rows", {"a": (0, 3), "b": (3, 5)}),
        Case("fully connected", {"a": (64, 256), "b": (256, 128)}, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        how = s.relu, s.transpose_a, s.transpose_b
        return {"y": oracle.gemm(arrays["a"], arrays["b"], arrays.get("bias"), *how)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return arrays["a"].shape[-2 if self.meant(settings).transpose_a else -1]

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        s = self.meant(settings)
        a, b = (
            tensors[name].mT if transposed else tensors[name]
            for name, transposed in (("a", s.transpose_a), ("b", s.transpose_b))
        )
        y = a @ b + tensors.get("bias", 0)
        return {"y": y.relu() if s.relu else y}


class Matmul(Tested, of=define.Matmul):
    cases = (
        Case("matrices", {"a": (21, 35), "b": (35, 19)}),
        Case("vectors", {"a": (35,), "b": (35,)}),
        Case("vector first", {"a": (35,), "b": (2, 35, 19)}),
        Case("vector last", {"a": (2, 21, 35), "b": (35,)}),
        Case("one b for all", {"a": (3, 2, 21, 35), "b": (35, 19)}),
        Case("one a for all", {"a": (21, 35), "b": (3, 2, 35, 19)}),
        Case("broadcast", {"a": (2, 1, 5, 7, 9), "b": (3, 1, 9, 11)}),
        Case("three levels", {"a": (2, 1, 3, 5, 7), "b": (2, 4, 1, 7, 3)}),
        Case("no batch", {"a": (0, 3, 5), "b": (5, 7)}),
        Case("nothing to sum", {"a": (2, 3, 0), "b": (2, 0, 5)}),
        Case("attention", {"a": (2, 4, 49, 32), "b": (2, 4, 32, 49)}, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        a, b = (arrays[name].astype(np.float64) for name in "ab")
        return {"y": np.asarray(np.matmul(a, b))}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return arrays["a"].shape[-1]

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        return {"y": torch.matmul(tensors["a"], tensors["b"])}


class Bmm(Tested, of=define.Bmm):
    cases = (
        Case("matrices", {"a": (3, 21, 35), "b": (3, 35, 19)}),
        Case("one", {"a": (1, 5, 7), "b": (1, 7, 3)}),
        Case("rows", {"a": (4, 1, 33), "b": (4, 33, 65)}),
        Case("no batch", {"a": (0, 3, 5), "b": (0, 5, 7)}),
        Case("nothing to sum", {"a": (2, 3, 0), "b": (2, 0, 5)}),
        Case("attention", {"a": (8, 49, 32), "b": (8, 32, 49)}, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": np.einsum("bmk,bkn->bmn", *(arrays[name].astype("f8") for name in "ab"))}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return arrays["a"].shape[-1]

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        return {"y": torch.bmm(tensors["a"], tensors["b"])}


class BmmBackward(TestedGradient, of=define.BmmBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        dy, a, b = (arrays[name].astype("f8") for name in ("dy", "a", "b"))
        return {"da": np.einsum("bmn,bkn->bmk", dy, b), "db": np.einsum("bmk,bmn->bkn", a, dy)}

    def terms(self, settings: Settings, arrays: Arrays) -> dict[str, int]:
        _, rows, columns = arrays["dy"].shape
        return {"da": columns, "db": rows}
