"""Any operation of `pycnn.define`, as the bench takes it: everything follows from the definition.

Layers of a suite come as cases of the grammar, which `problem` turns into a case of the definition.
Without it the layers are the definition's own standard cases, by name.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import pycnn
from pycnn.bench import grammar
from pycnn.bench.cases import Case, Shape
from pycnn.bench.expected import recalled
from pycnn.bench.kernelbench import Task
from pycnn.bench.operations.base import (
    BACKWARD,
    DIRECTIONS,
    FORWARD,
    Algorithm,
    Arrays,
    Check,
    Operation,
    Spec,
    Unsupported,
    by_entry,
)
from pycnn.define.call import Call
from pycnn.define.operation import Operation as Definition
from pycnn.define.registry import OPERATIONS
from pycnn.dtypes import FLOATS
from pycnn.testing import TESTED, case
from pycnn.testing.problem import cases_of
from pycnn.testing.tested import NoPeer, Tested, TestedGradient

#: Operands without a batch.
WHOLE = ("weight",)

Problem = Callable[[Any], case.Case]
OnnxNode = Callable[[Any], tuple[str, tuple[str, ...], dict[str, Any]]]


@dataclass(frozen=True)
class NamedCase(Case):
    """A case of a definition, by its name, and the algorithm of kernels if it is one of them."""

    name: str
    algo: str = "auto"

    def __str__(self) -> str:
        return self.name

    @property
    def batch(self) -> int:
        return 0

    def with_batch(self, batch: int) -> "NamedCase":
        raise ValueError(f"--batch {batch}: the layer {self.name!r} has a batch of its own")


class Defined(Operation):
    """The bench's view of a definition and its gradient.

    Parameters
    ----------
    name : str
        Of the operation.
    cases : type of Case, optional
        The grammar in which its layers are written; by default names of the definition's cases.
    problem : callable, optional
        From such a case to one of the definition.
    entries : bool, default False
        Whether every entry of the leading axis of all arrays of such a case is computed for
        itself, so that some of them stand for a large batch.
    onnx : callable, optional
        From such a case to type, inputs and attributes of an ONNX node.
    """

    def __init__(
        self,
        name: str,
        cases: type[Case] = NamedCase,
        problem: Problem | None = None,
        entries: bool = False,
        onnx: OnnxNode | None = None,
    ) -> None:
        self.name, self.case = name, cases  # type: ignore[misc]
        self._problem, self._entries, self._onnx = problem, entries, onnx
        self.dtypes = OPERATIONS[name].dtypes  # type: ignore[misc]
        has_gradient = f"{name}_backward" in OPERATIONS
        self.directions = DIRECTIONS if has_gradient else (FORWARD,)  # type: ignore[misc]

    def parse(self, text: str) -> Case:
        names = [c.name for c in self._tested(FORWARD).cases]
        if text in names:
            return NamedCase(text)
        if self.case is NamedCase:
            raise ValueError(f"shape {text!r}; allowed: {', '.join(names)}")
        return grammar.parse(self.case, text)

    def standard_layers(self) -> list[tuple[str, Case]]:
        standard = [c.name for c in self._tested(FORWARD).cases if c.standard]
        return [(name, NamedCase(name)) for name in standard]

    def dtypes_of(self, direction: str) -> tuple[str, ...]:
        return self._tested(direction).op.dtypes

    def directions_of(self, case: Any) -> list[str]:
        """A gradient may leave out some of the cases of its operation."""
        if not isinstance(case, NamedCase):
            return list(self.directions)
        known = {d: {c.name for c in cases_of(self._tested(d))} for d in self.directions}
        return [d for d in self.directions if case.name in known[d]]

    def input_specs(self, case: Any, direction: str) -> dict[str, Spec]:
        call = self._call(case, direction)
        return {name: (view.shape, _own(view.dtype)) for name, view in call.views.items()}

    def output_shapes(self, case: Any, direction: str) -> dict[str, Shape]:
        outputs = self._call(case, direction).outputs
        return {name: spec.shape for name, spec in outputs.items()}

    def flops(self, case: Any, direction: str) -> int:
        return self._tested(direction).op.flops(self._call(case, direction))

    def traffic(self, case: Any, direction: str, dtype: str) -> int:
        return self._tested(direction).op.necessary_bytes(self._call(case, direction, dtype))

    def algorithms(self, case: Any, direction: str, dtype: str) -> list[Algorithm]:
        return [Algorithm(case.algo if isinstance(case, NamedCase) else "auto")]

    def inputs(
        self, case: Any, direction: str, dtype: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Of a gradient also what went into forward, from which PyTorch starts."""
        tested, problem = self._tested(direction), self._case(case)
        if isinstance(tested, TestedGradient):
            forward, own = tested.draw_both(problem, rng, dtype)
            return {**forward, **own}
        return tested.draw(problem, rng, dtype)

    def run(self, case: Any, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        tested, settings, inputs, outputs = self._prepared(case, direction)
        updates = tested.op.updates  # in place, so that every call gets its own
        operands = {n: arrays[n].copy() if n in updates else arrays[n] for n in inputs}
        algorithm = {} if algo == "auto" else {"algo": algo}
        returned = tested.invoke(
            getattr(pycnn, tested.op.name), operands, {**settings, **algorithm}
        )
        names = [name for name in outputs if name not in updates.values()]
        updated = {new: operands[name] for name, new in updates.items() if new in outputs}
        return dict(zip(names, returned, strict=True)) | updated

    def checks(self, case: Any, direction: str, arrays: Arrays) -> list[Check]:
        tested, problem = self._tested(direction), self._case(case)
        operands = _own_arrays(tested.op, arrays)
        settings = tested.settings(problem)
        call, terms = tested.op.describe(operands, **settings), tested.terms(settings, operands)
        longest = terms if isinstance(terms, int) else max(terms.values())
        own = {name: spec.dtype.name for name, spec in call.outputs.items()}

        def of_entries(part: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
            batch = next(len(a) for name, a in part.items() if name not in WHOLE)
            fewer = _with_batch(problem, batch)
            return recalled(lambda: tested.oracle(tested.settings(fewer), part))

        entries = isinstance(case, Task) or self._entries
        if entries and not isinstance(case, NamedCase):  # which need not have a batch
            return by_entry(operands, WHOLE, longest, of_entries)
        return [
            Check(name, np.asarray(value), longest, dtype=own[name])
            for name, value in recalled(lambda: tested.oracle(settings, operands)).items()
        ]

    def torch(self, case: Any, direction: str, tensors: Arrays) -> Callable[[], dict[str, Any]]:
        tested, problem = self._tested(direction), self._case(case)
        try:
            if isinstance(tested, TestedGradient):
                return _by_autograd(tested, tested.forward.settings(problem), tensors)
            settings = tested.settings(problem)
            tested.torch(tensors, settings)  # says now what it lacks
            return lambda: tested.torch(tensors, settings)
        except NoPeer as lacking:
            raise Unsupported(str(lacking)) from None

    def onnx_node(self, case: Any) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return super().onnx_node(case) if self._onnx is None else self._onnx(case)

    @functools.lru_cache(maxsize=256)  # noqa: B019  (it is what `run` would find in every call)
    def _prepared(
        self, case: Any, direction: str
    ) -> tuple[Tested, dict[str, Any], list[str], list[str]]:
        """The definition, its settings, and names of what goes in and comes out."""
        tested, call = self._tested(direction), self._call(case, direction)
        return tested, tested.settings(self._case(case)), list(call.views), list(call.outputs)

    def _tested(self, direction: str) -> Any:
        return TESTED[f"{self.name}_backward" if direction == BACKWARD else self.name]

    def _case(self, layer: Any) -> case.Case:
        if isinstance(layer, Task):
            return layer.problem()
        if self._problem is not None and not isinstance(layer, NamedCase):
            return self._problem(layer)
        return next(c for c in cases_of(self._tested(FORWARD)) if c.name == layer.name)

    def _call(self, layer: Any, direction: str, dtype: str = "") -> Call:
        """What the definition makes of it, worked out from arrays without memory of their own."""
        tested, problem = self._tested(direction), self._case(layer)
        forward = tested.forward if isinstance(tested, TestedGradient) else tested
        dtype = dtype or tested.typical_dtype
        arrays = forward.placeholders(problem, dtype)
        # What is updated in place must be whole: an array that repeats one element is refused.
        arrays |= {n: arrays[n].copy() for n in forward.op.updates if n in arrays}
        call = forward.op.describe(arrays, **forward.settings(problem))
        if isinstance(tested, TestedGradient):
            results = {n: np.broadcast_to(np.zeros((), s.dtype), s.shape)
                    for n, s in call.outputs.items()}  # fmt: skip
            known = {**results, **arrays, **{d: results[y] for d, y in tested.op.upstream.items()}}
            for operand in tested.op.operands:  # what forward gives only when asked, like indices
                if operand.name not in known and operand.dtypes and not operand.optional:
                    like = known[next(iter(tested.op.upstream))]
                    known[operand.name] = like.astype(operand.dtypes[0])
            call = tested.op.describe(_own_arrays(tested.op, known), **tested.settings(problem))
        return call


def _own_arrays(op: Definition, arrays: Arrays) -> dict[str, Any]:
    """The operands of `op` among more arrays, in the order of its definition."""
    places = {operand.name: i for i, operand in enumerate(op.operands)}
    own = [name for name in arrays if name.partition("[")[0] in places]
    own.sort(key=lambda name: places[name.partition("[")[0]])  # stable: "[0]" before "[1]"
    return {name: arrays[name] for name in own}


def _own(dtype: str) -> str | None:
    """A dtype that is not that of the computation."""
    return None if dtype in FLOATS else dtype


def _with_batch(problem: case.Case, batch: int) -> case.Case:
    shapes = {
        name: shape if name in WHOLE else (batch, *shape[1:])
        for name, shape in problem.shapes.items()
    }
    return replace(problem, shapes=shapes)


def _by_autograd(
    tested: TestedGradient, settings: Mapping[str, Any], tensors: Arrays
) -> Callable[[], dict[str, Any]]:
    """PyTorch's gradient of a graph that is built beforehand, so that backward alone is timed."""
    import torch

    names = [n for n in tensors if n not in tested.op.upstream and tensors[n].is_floating_point()]
    with torch.inference_mode(False), torch.enable_grad():
        leaves = {n: t.clone() for n, t in tensors.items() if n not in tested.op.upstream}
        inputs = {n: t.requires_grad_(n in names) for n, t in leaves.items()}
        forward = {o.name for o in tested.forward.op.operands}
        inputs = {n: t for n, t in inputs.items() if n.partition("[")[0] in forward}
        outputs = tested.forward.torch(inputs, settings)
        results = [outputs[of] for of in tested.op.upstream.values()]
        upstream = [tensors[name].clone() for name in tested.op.upstream]
        sought = [n for n in inputs if n in names]

    def call() -> dict[str, Any]:
        with torch.inference_mode(False), torch.enable_grad():
            grads = torch.autograd.grad(
                results, [inputs[n] for n in sought], upstream,
                retain_graph=True, allow_unused=True,
            )  # fmt: skip
        return {f"d{n}": g for n, g in zip(sought, grads, strict=True) if g is not None}

    return call
