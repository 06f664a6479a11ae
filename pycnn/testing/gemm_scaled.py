"""Cases, oracle and PyTorch's answer: the product of 8-bit floats with scales."""

from typing import Any

import numpy as np

from pycnn.define import gemm_scaled as define
from pycnn.define.operation import Arrays
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import gemm as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import NoPeer, Settings, Tested, normal

SCALES: dict[str, tuple[int, ...]] = {"scale_a": (), "scale_b": ()}
#: In the name of cases whose b has the wider exponent, where that of a has the narrow one.
WIDE = "b of e5m2"
F32, B16, F16 = ({"output_dtype": name} for name in ("float32", "bfloat16", "float16"))


class Scaled(Tested):
    """Two factors of 8-bit floats, with scales."""

    factors: tuple[str, str]
    wide: str

    def numbers(
        self, case: Case, name: str, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Of a factor, as it lies in memory, before they are rounded."""
        return normal(rng, shape, "float32")

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Scales between a half and two."""
        drawn, own = {}, self._dtypes(case, dtype)
        for name, shape in case.shapes.items():
            if "scale" in name:
                drawn[name] = np.asarray(rng.uniform(0.5, 2, shape), np.float32)
            elif name in self.factors:
                numbers = self.numbers(case, name, rng, shape)
                drawn[name] = numbers.astype(numpy_dtype(own[name]))
            else:
                drawn[name] = normal(rng, shape, own[name])
        return drawn

    def placeholders(self, case: Case, dtype: str) -> dict[str, np.ndarray]:
        placed, own = super().placeholders(case, dtype), self._dtypes(case, dtype)
        for name in own.keys() & placed.keys():
            zero = np.zeros((), numpy_dtype(own[name]))
            placed[name] = np.broadcast_to(zero, placed[name].shape)
        return placed

    def _dtypes(self, case: Case, dtype: str) -> dict[str, str]:
        """Of the factors, one of which is always narrow, and the bias."""
        first, second = self.factors
        narrow = "float8_e4m3fn"
        other = "float8_e5m2" if self.wide in case.name and dtype == narrow else narrow
        return {first: dtype, second: other, "bias": case.settings["output_dtype"]}


class ScaledMm(Scaled, of=define.ScaledMm):
    factors = "a", "b"
    wide = WIDE
    cases = (
        Case("plain", {"a": (21, 35), "b": (35, 19), **SCALES}, F32),
        Case("bias", {"a": (5, 48), "b": (48, 23), **SCALES, "bias": (23,)}, F32),
        Case("bfloat16", {"a": (3, 16), "b": (16, 7), **SCALES, "bias": (7,)}, B16),
        Case("float16", {"a": (3, 16), "b": (16, 7), "scale_a": (1,), "scale_b": (1,)}, F16),
        Case(WIDE, {"a": (7, 37), "b": (37, 11), **SCALES}, F32),
        Case("nothing to sum", {"a": (3, 0), "b": (0, 5), **SCALES, "bias": (5,)}, F32),
        Case("no rows", {"a": (0, 3), "b": (3, 5), **SCALES}, F32),
        Case(
            "fully connected",
            {"a": (64, 256), "b": (256, 128), **SCALES, "bias": (128,)},
            B16,
            standard=True,
        ),
    )

    def numbers(
        self, case: Case, name: str, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        """`b` by columns."""
        turned = super().numbers(case, name, rng, shape[::-1] if name == "b" else shape)
        return turned.T if name == "b" else turned

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.scaled_mm(**arrays)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return int(arrays["a"].shape[1])

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        if settings["output_dtype"] != "float32":
            raise NoPeer("NumPy takes no bfloat16 from PyTorch, and 16 bits tell no more")
        if tensors["a"].shape[1] == 0:
            raise NoPeer("PyTorch refuses a product with nothing to sum")
        operands = [tensors[name] for name in ("a", "b", "scale_a", "scale_b")]
        y = torch._scaled_mm(*operands, out_dtype=torch.float32)
        return {"y": y + tensors.get("bias", 0)}  # which may be of 16 bits alone
