"""Cases, oracle and PyTorch's answer: products of 8-bit integers."""

from typing import Any

import numpy as np

from pycnn.define import gemm_int8 as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import conv_int8 as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import NoPeer, Settings, Tested

#: A fully connected layer, without zero points.
LAYER: dict[str, tuple[int, ...]] = {"a": (64, 256), "b": (256, 128)}

#: Shapes of a, b and zero points.
PROBLEMS: tuple[tuple[str, dict[str, tuple[int, ...]]], ...] = (
    ("plain", {"a": (21, 35), "b": (35, 19)}),
    ("zero points", {"a": (5, 48), "b": (48, 23), "a_zero_point": (), "b_zero_point": (23,)}),
    ("no rows", {"a": (0, 3), "b": (3, 5)}),
)


class IntegerProduct(Tested, of=define.IntegerProduct):
    def exact_sums(self, arrays: Arrays) -> np.ndarray:
        a, b = (arrays[name].astype(np.int64) for name in "ab")
        a, b = a - arrays.get("a_zero_point", 0), b - arrays.get("b_zero_point", 0)
        return np.asarray(np.einsum("mk,kn->mn", a, b))

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return int(arrays["a"].shape[1])

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """All values of a, and of a signed b, by columns; results of all sizes."""
        own = {"a": dtype, "a_zero_point": dtype, "b": "int8", "b_zero_point": "int8"}
        own |= {"y_zero_point": "uint8", "bias": "int32"}
        drawn = {}
        for name, shape in case.shapes.items():
            if name in own:
                low, high = (-5000, 5000) if name == "bias" else (*_limits(own[name]),)
                found = rng.integers(low, high, shape[::-1], own[name], endpoint=True)
                drawn[name] = (
                    np.asarray(found).T if name == "b" else np.asarray(found).reshape(shape)
                )
            else:
                drawn[name] = np.asarray(rng.uniform(0.01, 0.03, shape), np.float32)
        if "y_scale" in drawn:  # so that a few values saturate
            drawn["y_scale"] *= np.float32(2 * np.sqrt(case.shapes["a"][1]))
        return drawn


def _limits(dtype: str) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


class MatmulInteger(IntegerProduct, of=define.MatmulInteger):
    cases = (
        *(Case(name, shapes) for name, shapes in PROBLEMS),
        Case("fully connected", LAYER, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.wrapped(self.exact_sums(arrays))}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        """In 32 bits: `_int_mm` has no zero points."""
        a, b = (tensors[name].int() - tensors.get(f"{name}_zero_point", 0) for name in "ab")
        return {"y": a @ b}


class QlinearMatmul(IntegerProduct, of=define.QlinearMatmul):
    cases = (
        *(
            Case(name, {
                "a": shapes["a"], "a_scale": (), "a_zero_point": (),
                "b": shapes["b"], "b_scale": shapes["b"][1:], "b_zero_point": shapes["b"][1:],
                "y_scale": (), "y_zero_point": (), "bias": shapes["b"][1:],
            })
            for name, shapes in PROBLEMS
        ),
        Case("fully connected", {
            **LAYER, "a_scale": (), "b_scale": (128,), "y_scale": (), "y_zero_point": (),
            "bias": (128,),
        }, standard=True),
    )  # fmt: skip

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        scales = ("a_scale", "b_scale", "y_scale", "y_zero_point")
        operands = (*(arrays[name] for name in scales), arrays.get("bias"))
        sums = self.exact_sums(arrays)[:, :, None, None]
        return {"y": oracle.requantise(sums, *operands)[:, :, 0, 0]}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        raise NoPeer(
            "PyTorch's quantised convolution rounds otherwise, and takes quantised tensors"
        )
