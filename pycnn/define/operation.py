"""The one definition of an operation: validation, plans and the table derive from it.

A definition says what goes in and comes out (`operands`, `infer`), how it is computed (`plan` for
kernels, `cpu` for NumPy) and how much work it is (`flops`, `Call.bytes`). What it is called with,
and by default, the public function in `pycnn.ops` says, and nobody else (`pycnn.define.public`).
What must come out, and on which problems it is tried, is in `pycnn.testing`, which only tests and
benchmarks load.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from pycnn import config
from pycnn.define import cache, out as _out, trace
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.validate import check_dtypes, check_out, check_ranks
from pycnn.define.values import Allowed, Check
from pycnn.define.views import View
from pycnn.dtypes import FLOATING, FLOATS, numpy_dtype
from pycnn.plan.choice import Candidate, Choice
from pycnn.reference.cpu._common import quietly
from pycnn.runtime import foreign
from pycnn.runtime.backends import SHAPES, backend_for, executor
from pycnn.runtime.plan import ArraySpec, Plan
from pycnn.runtime.target import ANY, current, decided_by, target_of

Arrays = Mapping[str, Any]


#: Families whose plans depend on the GPU.
TARGETED = ("conv", "gemm", "norm")


class Operation(ABC):
    """Base of all definitions; one instance of each is in `registry.OPERATIONS`."""

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
    #: Whether the one operand is a list of arrays, which `listed` takes apart.
    takes_list: bool = False
    #: Names of everything that may be returned, None where it is not computed; empty where that is
    #: always what `infer` says.
    results: tuple[str, ...] = ()
    #: Whether a tuple is returned also where there is but one result.
    always_tuple: bool = False
    #: Operands that get new values in place, and the outputs that hold them, which nobody returns.
    updates: Mapping[str, str] = {}
    #: Settings that `infer` reads and the public function does not have.
    fixed: Mapping[str, Any] = {}
    #: Environment variables that planning depends on.
    environment: tuple[str, ...] = ()
    #: The parameters of the public function that are neither operands nor `out`: those without a
    #: default, and the others with theirs.
    required: tuple[str, ...]
    defaults: Mapping[str, Any]
    #: Whether the public function has the argument `out`.
    takes_out: bool
    #: Gives what the environment says that planning depends on.
    variables: Callable[[], Iterable[Hashable]]

    def declare(self, name: str, signature: inspect.Signature, synonyms: Collection[str]) -> None:
        """Take the settings, without `synonyms`, from the signature of the public function."""
        parameters = dict(signature.parameters)
        missing = [o.name for o in self.operands if parameters.pop(o.name, None) is None]
        if name != self.name or missing:
            raise TypeError(f"{name}{signature} is no signature of {self.name}: {missing}")
        self.variables = config.raw(*self.environment)
        self.takes_out = parameters.pop("out", None) is not None
        for synonym in synonyms:
            parameters.pop(synonym, None)
        empty = inspect.Parameter.empty
        self.required = tuple(n for n, p in parameters.items() if p.default is empty)
        self.defaults = {n: p.default for n, p in parameters.items() if p.default is not empty}

    def with_defaults(self, settings: Mapping[str, Any]) -> Arguments:
        """`settings`, and defaults for the others.

        Raises
        ------
        TypeError
            If the public function has no such argument, or one without a default is missing.
        """
        arguments = {**self.defaults, **settings}
        known = {*self.required, *self.defaults}
        if arguments.keys() != known:
            wrong = ", ".join(sorted(arguments.keys() ^ known))
            raise TypeError(f"{self.name} is called without or must not have: {wrong}")
        return Arguments(**arguments, **self.fixed)

    def listed(self, values: Any) -> dict[str, Any]:
        """The arrays of the list that goes in, by name."""
        raise NotImplementedError

    @abstractmethod
    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        """Check the shapes against each other and the settings; dtypes and ranks are right.

        `args` has the public function's arguments that are no arrays.

        Raises
        ------
        ValueError, TypeError
            Naming the argument, its value and what is allowed.
        """

    @abstractmethod
    def plan(self, call: Call) -> Plan | tuple[Plan, ...]:
        """How kernels compute it; several plans run one after the other."""

    def choices(self, call: Call) -> tuple[Choice, ...]:
        """The results that several algorithms compute, each with what there is to choose."""
        return ()

    def cpu_methods(self, call: Call) -> list[Candidate]:
        """The methods of the CPU path, the one that it takes first; none where there is one."""
        return []

    @abstractmethod
    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> Mapping[str, Any]:
        """By the CPU path, on float32 or float64; `out`, if it is used, takes the first output."""

    @abstractmethod
    def flops(self, call: Call) -> int:
        """Floating-point operations; a multiply-add is two."""

    def allowed(self, call: Call) -> Mapping[str, Allowed]:
        """Operands that may not hold everything that their dtype can, and what they may hold."""
        return {}

    def necessary_bytes(self, call: Call) -> int:
        """Least memory traffic: every input once, every output once, unless less will do."""
        return call.bytes

    def describe(self, arrays: Arrays, **settings: Any) -> Call:
        """Validate; what the call means, whatever backend will run it.

        Raises
        ------
        TypeError, ValueError
            If an argument is not allowed.
        """
        dtype = check_dtypes(self.name, self.operands, self.dtypes, arrays)
        check_ranks(self.operands, arrays)
        views = {}
        for name, array in arrays.items():
            if array is not None:
                views[name] = View.of(name, array)
        checked, inferred = self.infer(views, self.with_defaults(settings))
        outputs = {}
        for name, (shape, own) in inferred.items():
            spec = outputs[name] = ArraySpec(tuple(shape), numpy_dtype(own or dtype))
            if prod(filter(None, spec.shape)) * spec.dtype.itemsize >= 2**63:  # also of no elements
                raise ValueError(f"{name} would have shape {spec.shape}; allowed: below 2^63 bytes")
        return Call(dtype, views, checked, outputs)

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> Any:
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
        array or tuple of array
            As the public function returns it.
        """
        operands = *arrays.values(), out
        if trace.FOLLOWED and (follower := trace.follower_of(operands)) is not None:
            return follower(self, arrays, out, settings)
        call = self.prepared(arrays, out, settings)
        if call is None:
            return foreign.call(partial(self.run, **settings), arrays, out)
        return self.returned(call, self.computed(call, arrays, out))

    def prepared(self, arrays: Arrays, out: Any, settings: Mapping[str, Any]) -> Call | None:
        """What validation and planning give; None where an array is of another library."""
        operands = *arrays.values(), out
        decided = decided_by(operands[0])
        key = cache.cache_key(operands, settings.values(), self.name, *decided, *self.variables())
        call: Call | None = cache.lookup(key)
        if call is None and not foreign.among(*operands):
            call = cache.store(key, self._prepare(arrays, out, settings))
        return call

    def computed(self, call: Call, arrays: Arrays, out: Any = None) -> Mapping[str, Any]:
        """The results by name, of arrays that `call` was prepared for."""
        backend = call.backend
        if backend == SHAPES:
            trace.note(self, call)
            return trace.placeholders(call)
        for check in call.checks:
            check(arrays[check.name])
        for name in self.updates:
            if arrays[name] is not None:
                _out.check_writeable(arrays[name], name)
        if out is not None:
            _out.check_writeable(out)
            self._check_apart(out, arrays)
        if backend == "reference":
            results = self.by_cpu(call, arrays, out)
        else:
            into = None if out is None else {next(iter(call.outputs)): out}
            run, results = executor(backend).run, {}
            for plan in call.plans:  # none, where no gradient is needed
                computed = run(plan, arrays, into)
                results = results | computed if results else computed
        record = trace.RECORDER.get()
        if record is not None:
            record(self, call, arrays, out, results)
        for name, new in self.updates.items():
            if new in call.outputs:
                arrays[name][...] = results[new]
        return results

    def returned(self, call: Call, results: Mapping[str, Any]) -> Any:
        """The results as the public function returns them."""
        if self.results:
            return tuple([results.get(name) for name in self.results])
        updated = self.updates.values()
        returned = tuple([results[name] for name in call.outputs if name not in updated])
        return returned[0] if len(returned) == 1 and not self.always_tuple else returned

    def _prepare(self, arrays: Arrays, out: Any, settings: Mapping[str, Any]) -> Call:
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
            return replace(call, backend=backend, checks=checks)
        first = next(iter(arrays.values()))
        before = current.set(target_of(first) if self.family in TARGETED else ANY)
        try:
            with np.errstate(all="ignore"):  # a setting may be beyond what kernels compute in
                plans = self.plan(call)
        finally:
            current.reset(before)
        plans = (plans,) if isinstance(plans, Plan) else plans
        return replace(call, backend=backend, checks=checks, plans=plans)

    def _check_apart(self, out: Any, arrays: Arrays) -> None:
        for name, array in arrays.items():
            if array is not None and not (name in self.in_place and _out.same_view(out, array)):
                _out.check_apart(out, **{name: array})

    def by_cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        """Half types are computed in float32 and rounded once, as in the kernels.

        Nothing warns of a NaN, an overflow or an underflow: a GPU does not either.
        """
        present = {name: np.asarray(a) for name, a in arrays.items() if a is not None}
        into = None if out is None else np.asarray(out)
        if not any(prod(spec.shape) for spec in call.outputs.values()):  # however large the others
            empty = {n: np.empty(spec.shape, spec.dtype) for n, spec in call.outputs.items()}
            return empty if out is None else {**empty, next(iter(empty)): out}
        with quietly():
            if call.dtype in FLOATS and FLOATS[call.dtype].is_half:
                present = {
                    name: a.astype(np.float32) if a.dtype.name == call.dtype else a
                    for name, a in present.items()
                }
                computed = self.cpu(call, present, None)
            else:
                computed = self.cpu(call, present, into)
            results = {}
            for i, (name, spec) in enumerate(call.outputs.items()):
                value, target = computed[name], into if i == 0 else None
                if value is not target:
                    value = np.asarray(value).astype(spec.dtype, copy=False).reshape(spec.shape)
                    value = _out.store(value, target)
                results[name] = value if target is None else out
            return results

    def fixed_cpu(self, call: Call, arrays: Arrays, results: Arrays) -> Callable[[], Any]:
        """What computes it by the CPU path on arrays that stay, into `results`."""
        first, *others = results

        def step() -> None:
            computed = self.by_cpu(call, arrays, results[first])
            for name in others:
                results[name][...] = computed[name]

        return step


class TakesScalars(Operation):
    """Has operands of one value: a scalar of NumPy is as good as an array ()."""

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> Any:
        operands = {n: np.asarray(a) if isinstance(a, np.generic) else a for n, a in arrays.items()}
        return super().run(operands, out, **settings)


class Gradient(Operation):
    """Gradient of a `forward` operation.

    Its operands are gradients of outputs (`upstream`: operand -> output of forward), and arrays
    that went into forward or came out of it, under their names there.
    """

    forward: Operation
    upstream: Mapping[str, str] = {"dy": "y"}
