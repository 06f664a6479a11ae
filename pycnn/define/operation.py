"""The one definition of an operation: validation, tests, benchmarks and the table derive from it.

A definition says what goes in and comes out (`operands`, `infer`), how it is computed (`plan` for
kernels, `cpu` for NumPy), what must come out (`oracle`, `terms`), how much work it is (`flops`,
`Call.bytes`) and on which problems it is tried (`cases`). The public function in `pycnn.ops` adds
its signature and documentation, and hands its arguments to `Operation.run`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.define import out as _out
from pycnn.define import trace
from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.memory import keep, metadata, recall, settled
from pycnn.define.operand import Operand
from pycnn.define.validate import check_dtypes, check_out, check_rank
from pycnn.define.values import Allowed, Check
from pycnn.define.views import View
from pycnn.dtypes import FLOATING, FLOATS, numpy_dtype
from pycnn.runtime.backends import SHAPES, active_backend, backend_for, executor
from pycnn.runtime.plan import ArraySpec, Plan

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """What a repeated call need not find again."""

    backend: str
    call: Call
    checks: tuple[Check, ...]
    plans: tuple[Plan, ...]


class NoPeer(Exception):
    """PyTorch cannot compute this; the message says what it lacks."""


class Operation(ABC):
    """Base of all definitions; one instance of each stands in `pycnn.define.OPERATIONS`."""

    #: Name of the public function.
    name: str
    #: Folder of its kernels and name of its modules.
    family: str
    operands: tuple[Operand, ...]
    #: dtypes of the computation.
    dtypes: tuple[str, ...] = FLOATING
    #: Values of the argument `layout`; empty where no axis is special.
    layouts: tuple[str, ...] = ()
    #: What limits it: "bandwidth" or "arithmetic". The former must move no more than it has to.
    bound: str = "bandwidth"
    #: Operands that `out` may be: the very same elements.
    in_place: tuple[str, ...] = ()
    #: What is special about it, in one line: missing dtypes, missing layouts.
    note: str = ""
    #: Why there is no gradient, in one line, where `NAME_backward` does not exist.
    no_gradient: str = ""
    #: Whether the public function has the argument `out`.
    takes_out: bool = True
    cases: Sequence[Case]

    @abstractmethod
    def infer(self, views: Mapping[str, View], *_: Any, **settings: Any) -> Inferred:
        """Check the shapes against each other and the settings; dtypes and ranks are right.

        `settings` have the names and defaults of the public function's other arguments.

        Raises
        ------
        ValueError, TypeError
            Naming the argument, its value and what is allowed.
        """

    @abstractmethod
    def plan(self, call: Call) -> Plan | tuple[Plan, ...]:
        """How kernels compute it; several plans run one after the other."""

    @abstractmethod
    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> Mapping[str, Any]:
        """By the CPU path, on float32 or float64; `out`, if it is used, takes the first output."""

    @abstractmethod
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """What must come out, in float64."""

    @abstractmethod
    def flops(self, call: Call) -> int:
        """Floating-point operations; a multiply-add is two."""

    def terms(self, call: Call) -> int | Mapping[str, int]:
        """Length of the longest sum behind an element, of all outputs or by output."""
        return 1

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Random inputs for a case: normal values, unless a definition needs others."""
        return {name: normal(rng, shape, dtype) for name, shape in case.shapes.items()}

    def placeholders(self, case: Case, dtype: str) -> dict[str, np.ndarray]:
        """Arrays of the shapes and dtypes of a case that take no memory."""
        own = {operand.name: operand.dtypes for operand in self.operands}
        placed = {}
        for name, shape in case.shapes.items():
            allowed = own[name.partition("[")[0]]
            own_dtype = dtype if allowed is None or dtype in allowed else allowed[0]
            zero = np.zeros((), numpy_dtype(own_dtype))
            placed[name] = np.broadcast_to(zero, shape)
        return placed

    def settings(self, case: Case) -> dict[str, Any]:
        """What the public function gets beside the arrays."""
        return dict(case.settings)

    def invoke(
        self, function: Callable[..., Any], arrays: Arrays, settings: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """Call the public function, or one with its signature; always a tuple."""
        returned = function(**arrays, **settings)
        return returned if isinstance(returned, tuple) else (returned,)

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The same by PyTorch, on its tensors: outputs by name, as far as it has them.

        Raises
        ------
        NoPeer
            If it has no such operation, or not with these settings.
        """
        import torch

        function = getattr(torch.nn.functional, self.name, None)
        if function is None:
            raise NoPeer(f"PyTorch has no function {self.name}")
        return {"y": function(*tensors.values(), **settings)}

    def allowed(self, call: Call) -> Mapping[str, Allowed]:
        """Operands that may not hold everything that their dtype can, and what they may hold."""
        return {}

    def necessary_bytes(self, call: Call) -> int:
        """Least memory traffic: every input once, every output once, unless less will do."""
        return call.bytes

    @property
    def typical_dtype(self) -> str:
        """The dtype of tests that need only one."""
        return "float32" if "float32" in self.dtypes else self.dtypes[0]

    def describe(self, arrays: Arrays, **settings: Any) -> Call:
        """Validate; what the call means, whatever backend will run it.

        Raises
        ------
        TypeError, ValueError
            If an argument is not allowed.
        """
        given = {name: array for name, array in arrays.items() if array is not None}
        dtype = check_dtypes(self.name, self.operands, self.dtypes, arrays)
        for operand in self.operands:
            if operand.name in given and operand.ranks:
                check_rank(operand.name, given[operand.name], operand.ranks, operand.axes)
        views = {name: View.of(name, array) for name, array in given.items()}
        found = self.infer(views, **settings)
        outputs = {
            name: ArraySpec(tuple(shape), numpy_dtype(own or dtype))
            for name, (shape, own) in found.outputs.items()
        }
        return Call(dtype, views, found.settings, outputs)

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> tuple[Any, ...]:
        """Validate, plan and launch, or compute by the CPU path.

        Parameters
        ----------
        arrays : mapping of str to array or None
            The operands, in order.
        out : array, optional
            Takes the first output.
        **settings
            The other arguments, as the caller gave them.

        Returns
        -------
        tuple of array
            The outputs, in the order of `Call.outputs`.
        """
        key = (
            self.name,
            active_backend(),
            *map(metadata, arrays.values()),
            metadata(out),
            settled(settings.values()),
        )
        prepared: Prepared = recall(key) or keep(key, self._prepare(arrays, out, settings))
        if prepared.backend == SHAPES:
            trace.note(self, prepared.call)
            return trace.placeholders(prepared.call)
        for check in prepared.checks:
            check(arrays[check.name])
        if out is not None:
            _out.check_writeable(out)
            self._check_apart(out, arrays)
        if prepared.backend == "reference":
            return self._by_cpu(prepared.call, arrays, out)
        into = None if out is None else {next(iter(prepared.call.outputs)): out}
        run = executor(prepared.backend).run
        results: dict[str, Any] = {}
        for plan in prepared.plans:  # none, where no gradient is needed
            found = run(plan, arrays, into)
            results = results | found if results else found
        return tuple([results[name] for name in prepared.call.outputs])

    def _prepare(self, arrays: Arrays, out: Any, settings: dict[str, Any]) -> Prepared:
        backend = backend_for(**arrays, out=out)
        call = self.describe(arrays, **settings)
        if out is not None:
            first = next(iter(call.outputs.values()))
            check_out(out, first.shape, first.dtype)
        checks = tuple(
            Check(self.name, name, allowed, call.views[name])
            for name, allowed in self.allowed(call).items()
        )
        if backend in ("reference", SHAPES):
            return Prepared(backend, call, checks, ())
        plans = self.plan(call)
        return Prepared(backend, call, checks, (plans,) if isinstance(plans, Plan) else plans)

    def _check_apart(self, out: Any, arrays: Arrays) -> None:
        for name, array in arrays.items():
            if array is not None and not (name in self.in_place and _out.same_view(out, array)):
                _out.check_apart(out, **{name: array})

    def _by_cpu(self, call: Call, arrays: Arrays, out: Any) -> tuple[Any, ...]:
        """Half types are computed in float32 and rounded once, as in the kernels."""
        present = {name: array for name, array in arrays.items() if array is not None}
        if call.dtype in FLOATS and FLOATS[call.dtype].is_half:
            present = {
                name: a.astype(np.float32) if a.dtype.name == call.dtype else a
                for name, a in present.items()
            }
            computed = self.cpu(call, present, None)
        else:
            computed = self.cpu(call, present, out)
        results = []
        for i, (name, spec) in enumerate(call.outputs.items()):
            value, target = computed[name], out if i == 0 else None
            if value is not target:
                value = np.asarray(value).astype(spec.dtype, copy=False).reshape(spec.shape)
                value = _out.store(value, target)
            results.append(value)
        return tuple(results)


class Gradient(Operation):
    """Gradient of a `forward` operation: same cases, and inputs that belong together.

    Its operands are gradients of outputs (`upstream`: operand -> output of forward), and arrays
    that went into forward or came out of it, under their names there.
    """

    forward: Operation
    upstream: Mapping[str, str] = {"dy": "y"}

    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward."""
        return self.forward.cases

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        return self.draw_both(case, rng, dtype)[1]

    def draw_both(
        self, case: Case, rng: np.random.Generator, dtype: str
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Inputs of forward; and those of the gradient: among them, what forward's oracle makes.

        What came out of forward has been rounded to its dtype, as it is in use.
        """
        given = self.forward.draw(case, rng, dtype)
        call = self.forward.describe(given, **self.forward.settings(case))
        wanted = [operand.name for operand in self.operands]
        produced: Mapping[str, np.ndarray] = {}
        if not set(wanted) <= set(given) | set(self.upstream):
            produced = self.forward.oracle(call, given)
        drawn = {}
        for name in wanted:
            if name in self.upstream:
                drawn[name] = normal(rng, call.outputs[self.upstream[name]].shape, dtype)
            elif name in given:
                drawn[name] = given[name]
            elif name in produced:
                drawn[name] = np.asarray(produced[name]).astype(call.outputs[name].dtype)
        return given, drawn

    def torch_gradients(
        self, inputs: Arrays, upstream: Arrays, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """d`x` for every floating input `x` of forward, by PyTorch's automatic differentiation."""
        import torch

        leaves = {
            name: t.requires_grad_() if t.is_floating_point() else t for name, t in inputs.items()
        }
        outputs = self.forward.torch(leaves, settings)
        wanted = {name: t for name, t in leaves.items() if t.is_floating_point()}
        gradients = torch.autograd.grad(
            [outputs[self.upstream[name]] for name in upstream],
            list(wanted.values()),
            list(upstream.values()),
            allow_unused=True,
        )
        return {f"d{n}": g for n, g in zip(wanted, gradients, strict=True) if g is not None}


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Standard normal values."""
    return np.asarray(rng.standard_normal(shape)).astype(numpy_dtype(dtype))


#: Signature of `Operation.infer`, for helpers that several definitions share.
Infer = Callable[..., Inferred]
