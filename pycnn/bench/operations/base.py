"""What the bench must know of an operation: its inputs, how to run it, and what must come out.

Arithmetic and traffic are those of the operation itself, whatever the algorithm: traffic is each
input read once and each output written once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from pycnn.bench import grammar
from pycnn.bench.cases import Case, Shape
from pycnn.dtypes import FLOATING, FLOATS, numpy_dtype

FORWARD, BACKWARD = "forward", "backward"
DIRECTIONS = (FORWARD, BACKWARD)

#: Inputs or outputs by name; of NumPy, CuPy or PyTorch.
Arrays = Mapping[str, Any]

#: Shape, and dtype where it is not that of the computation.
Spec = tuple[Shape, str | None]

#: Above this many elements only the first, the middle and the last entry of the batch are compared.
ORACLE_ELEMENTS = 1 << 24


class Unsupported(Exception):
    """A peer has no such operation; the message says what it lacks."""


@dataclass(frozen=True)
class Algorithm:
    """One way to compute an operation, and whether it can be used for a case."""

    name: str
    workspace_bytes: int = 0
    fits: bool = True
    reason: str = ""
    chosen: str = ""


@dataclass(frozen=True, eq=False)
class Check:
    """A comparison of one output, seen through `view`, with what the oracle gives.

    Attributes
    ----------
    output : str
        Name of the output.
    expected : array, float64
        From the oracle.
    reduction : int
        Terms of the longest sum, for `pycnn.testing.tolerance`.
    what : str
        What part of the output it covers, in words.
    view : callable
        Output to the array that is compared with `expected`.
    combined : bool
        Whether `view` adds elements up, so that its error is not that of an element.
    dtype : str, optional
        Of the output, where it is not that of the computation.
    """

    output: str
    expected: np.ndarray
    reduction: int
    what: str = "all"
    view: Callable[[np.ndarray], np.ndarray] = lambda output: output
    combined: bool = False
    dtype: str | None = None


class Operation(ABC):
    """An operation that can be measured. One instance each, in `pycnn.bench.operations`."""

    name: ClassVar[str]
    case: ClassVar[type[Case]]
    directions: ClassVar[tuple[str, ...]] = DIRECTIONS
    dtypes: ClassVar[tuple[str, ...]] = FLOATING

    @abstractmethod
    def input_specs(self, case: Any, direction: str) -> dict[str, Spec]:
        """Shape of every array that goes in."""

    @abstractmethod
    def output_shapes(self, case: Any, direction: str) -> dict[str, Shape]:
        """Shape of every array that comes out, in the dtype of the computation."""

    @abstractmethod
    def flops(self, case: Any, direction: str) -> int:
        """Floating-point operations, a multiply-add as two."""

    def emulated_flops(self, case: Any, direction: str) -> int:
        """What the emulator has to compute: as `flops`, unless the kernels do more than that."""
        return self.flops(case, direction)

    @abstractmethod
    def run(self, case: Any, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        """The operation by pycnn, on the library of `arrays`."""

    @abstractmethod
    def checks(self, case: Any, direction: str, arrays: Arrays) -> list[Check]:
        """What the oracle says must come out of `arrays` (of NumPy)."""

    @abstractmethod
    def torch(self, case: Any, direction: str, tensors: Arrays) -> Callable[[], dict[str, Any]]:
        """The operation by PyTorch, ready to be called; raises `Unsupported`."""

    def onnx_node(self, case: Any) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """Type, inputs and attributes of the ONNX node that computes it forward."""
        raise Unsupported(f"onnxruntime has no {self.name} that takes these inputs")

    def parse(self, text: str) -> Case:
        """The case that a word names; raises ValueError with what is allowed."""
        return grammar.parse(self.case, text)

    def standard_layers(self) -> list[tuple[str, Case]]:
        """Name and case of the layers that stand for the operation, of no network."""
        return []

    def dtypes_of(self, direction: str) -> tuple[str, ...]:
        """Those that a direction is computed in."""
        return self.dtypes

    def directions_of(self, case: Any) -> list[str]:
        """Those in which a case can be computed."""
        return list(self.directions)

    def algorithms(self, case: Any, direction: str, dtype: str) -> list[Algorithm]:
        """Every algorithm that pycnn's kernels offer for it."""
        return [Algorithm("auto")]

    def cpu_algorithms(self, case: Any, direction: str, dtype: str) -> list[Algorithm]:
        """The methods of the CPU path, first of all its own choice."""
        return [Algorithm("auto")]

    def run_cpu(self, case: Any, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        """The operation by a method of the CPU path, on NumPy arrays."""
        return self.run(case, direction, arrays, "auto")

    def inputs(
        self, case: Any, direction: str, dtype: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Random inputs, never zeros."""
        return {
            name: normal(rng, shape, dtype)
            for name, (shape, _) in self.input_specs(case, direction).items()
        }

    def traffic(self, case: Any, direction: str, dtype: str) -> int:
        """Bytes that must move: every input once, every output once."""
        inputs = self.input_specs(case, direction).values()
        outputs = self.output_shapes(case, direction).values()
        return sum(prod(s) * numpy_dtype(other or dtype).itemsize for s, other in inputs) + sum(
            prod(s) * numpy_dtype(dtype).itemsize for s in outputs
        )


def normal(rng: np.random.Generator, shape: Shape, dtype: str) -> np.ndarray:
    """Standard normal values, drawn in `dtype` itself; those of 16 bits in float32."""
    values = rng.standard_normal(shape, dtype=np.dtype(FLOATS[dtype].accumulate).type)
    return values.astype(numpy_dtype(dtype), copy=False)


def sampled(batch: int) -> list[int]:
    """The entries of a batch that stand for all of it: first, middle and last."""
    return sorted({0, batch // 2, batch - 1})


def by_entry(
    arrays: Mapping[str, np.ndarray],
    whole: tuple[str, ...],
    reduction: int,
    compute: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
) -> list[Check]:
    """Checks of an operation that treats every entry of the leading axis alone.

    Parameters
    ----------
    arrays : mapping of str to array
        The inputs.
    whole : tuple of str
        Inputs without a leading batch axis.
    reduction : int
        Terms of the longest sum.
    compute : callable
        The oracle, from inputs to outputs by name.
    """
    batched = {name: a for name, a in arrays.items() if name not in whole}
    batch = next(iter(batched.values())).shape[0]
    if max(a.size for a in batched.values()) <= ORACLE_ELEMENTS or batch <= 3:
        return [Check(name, value, reduction) for name, value in compute(arrays).items()]
    entries = sampled(batch)
    few = compute({name: a if name in whole else a[entries] for name, a in arrays.items()})
    what = f"entries {', '.join(map(str, entries))} of {batch}"
    return [
        Check(name, value, reduction, what, lambda output: output[entries])
        for name, value in few.items()
    ]
