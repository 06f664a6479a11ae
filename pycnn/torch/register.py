"""Every operation of the table, registered with PyTorch's dispatcher by one loop.

``torch.ops.pycnn.NAME`` runs an operation on the memory of its tensors: on the CPU by the active
backend, on a GPU by our kernels, on PyTorch's current stream. `functions` are the same with the
signatures of pycnn, but for `out`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

import pycnn
from pycnn.define.operation import Operation
from pycnn.define.public import bound
from pycnn.define.registry import OPERATIONS
from pycnn.dtypes import FLOAT8, MOVABLE, numpy_dtype
from pycnn.runtime import foreign
from pycnn.torch import direct, gradients
from pycnn.torch.schema import Setting, arguments_of, gives_many, schema

#: Views: nothing is computed, so PyTorch itself does it.
VIEWS = ("split",)

_library = torch.library.Library("pycnn", "DEF")

_seen, _back = foreign.pytorch().memory, foreign.pytorch().given

_NAMES = {getattr(torch, name): name for name in (*MOVABLE, *FLOAT8)}


class Shape:
    """What validation asks of an array, from a tensor that may have no memory."""

    def __init__(self, tensor: Any) -> None:
        if tensor.dtype not in _NAMES:
            raise TypeError(f"dtype {tensor.dtype}; allowed: {', '.join(_NAMES.values())}")
        self.dtype = numpy_dtype(_NAMES[tensor.dtype])
        self.itemsize = self.dtype.itemsize
        self.shape = tuple(int(extent) for extent in tensor.shape)
        self.strides = tuple(int(stride) * self.itemsize for stride in tensor.stride())
        self.ndim = len(self.shape)
        self.flags = None


class Registered:
    """An operation as PyTorch runs it.

    Attributes
    ----------
    op : Operation
    arguments : list of str or Setting
        What goes through the dispatcher.
    many : bool
        Whether the dispatcher returns a list.
    """

    def __init__(self, op: Operation) -> None:
        self.op = op
        self.arguments = arguments_of(op)
        self.defaults = [None if isinstance(a, str) else a.encoded_default for a in self.arguments]
        self.many = gives_many(op)
        _library.define(schema(op))
        for key in ("CPU", "CUDA"):
            _library.impl(op.name, self.compute, key)
        name = f"pycnn::{op.name}"
        torch.library.register_fake(name, self.fake, lib=_library)
        rule = gradients.Rule(self, functions)
        torch.library.register_autograd(
            name, rule.backward, setup_context=rule.setup_context, lib=_library
        )
        torch.library.register_vmap(name, self.batched, lib=_library)
        self.through = getattr(torch.ops.pycnn, op.name).default
        self.with_gradient, self.transformed = direct.differentiable(self, rule)

    def taken_apart(self, values: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and settings by name, from what came through the dispatcher."""
        tensors: dict[str, Any] = {}
        settings = {}
        for argument, value in zip(self.arguments, self.filled(values), strict=True):
            if isinstance(argument, Setting):
                settings[argument.name] = argument.decode(value)
            elif self.op.takes_list:
                tensors |= self.op.listed(value)
            else:
                tensors[argument] = value
        return tensors, settings

    def filled(self, values: Sequence[Any]) -> Sequence[Any]:
        """`values`, and the defaults at the end, which the dispatcher leaves out."""
        return (*values, *self.defaults[len(values) :])

    def compute(self, *values: Any) -> Any:
        """By the operation, on the memory of the tensors."""
        tensors, settings = self.taken_apart(values)
        for name in self.op.updates:  # the new values are results; `call` puts them in place
            if tensors[name] is not None:
                tensors[name] = tensors[name].clone()
        with foreign.pytorch().stream(tensors):
            returned = self.on_memory(tensors, settings)
        results = returned if isinstance(returned, tuple) else (returned,)
        given = [result for result in results if result is not None]
        given += [tensors[name] for name in self.updated(tensors, settings)]
        return given if self.many else given[0]

    def on_memory(self, tensors: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
        """What the public function returns, of tensors and as tensors."""
        arrays = {n: None if t is None else _seen(n, t) for n, t in tensors.items()}
        return _all_given(self.op.run(arrays, None, **settings))

    def batched(self, info: Any, in_dims: Any, *values: Any) -> tuple[Any, Any]:
        """For `torch.vmap`, one of the batch at a time."""
        each = [
            self.through(*(_one_of(v, dim, i) for v, dim in zip(values, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        if not self.many:
            return torch.stack(each), 0
        return [torch.stack(some) for some in zip(*each, strict=True)], [0] * len(each[0])

    def public(self, tensors: Sequence[Any], settings: Mapping[str, Any]) -> Any:
        """By the function that callers have."""
        operands = (list(tensors),) if self.op.takes_list else tensors
        names = [operand.name for operand in self.op.operands]
        return functions[self.op.name](**dict(zip(names, operands, strict=True)), **settings)

    def updated(self, tensors: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
        """Operands that get new values in this call, in the order of the results."""
        present = [name for name in self.op.updates if tensors[name] is not None]
        return present if settings.get("use_input_stats", True) else []

    def fake(self, *values: Any) -> Any:
        """Results without their elements, by the operation's own validation."""
        tensors, settings = self.taken_apart(values)
        shapes = {n: None if t is None else Shape(t) for n, t in tensors.items()}
        call = self.op.describe(shapes, **settings)
        some = next(t for t in tensors.values() if t is not None)
        given = [
            some.new_empty(spec.shape, dtype=getattr(torch, spec.dtype.name))
            for spec in call.outputs.values()
        ]
        return given if self.many else given[0]


def _one_of(value: Any, dim: Any, i: int) -> Any:
    if isinstance(value, list) and isinstance(dim, (list, tuple)):
        return [_one_of(one, where, i) for one, where in zip(value, dim, strict=True)]
    return value if dim is None else value.select(dim, i)


def _all_given(returned: Any) -> Any:
    """What an operation returned, as tensors."""
    if type(returned) is tuple:
        return tuple([None if r is None else _given(r) for r in returned])
    return _given(returned)


def _given(result: Any) -> Any:
    """A result as `fake` says it: contiguous, as kernels write it and the CPU path often does."""
    return _back(result if result.flags.c_contiguous else result.copy())


class Function:
    """What `pycnn.define.public` makes a public function of: its arguments, to the dispatcher."""

    def __init__(self, registered: Registered) -> None:
        self.registered = registered
        self.takes_out = False
        op = registered.op
        special = op.updates or op.takes_list or {"seed", "return_indices"} & {*op.defaults}
        self.run = self._run if special else self._short()

    def _short(self) -> Callable[..., Any]:
        """`_run`, and before it what most calls are, in as few steps as can be."""
        run, general = self.registered.op.run, self._run
        heard, seen, from_numpy = direct.heard, direct.seen, torch.from_numpy

        def short(arrays: Mapping[str, Any], out: Any, **settings: Any) -> Any:
            if heard() or (memory := seen(arrays)) is None:
                return general(arrays, out, **settings)
            returned = run(memory, None, **settings)
            usual = type(returned) is np.ndarray and returned.dtype.kind != "V"
            if usual and returned.flags.c_contiguous:
                return from_numpy(returned)
            return _all_given(returned)

        return short

    def __getattr__(self, name: str) -> Any:
        return getattr(self.registered.op, name)

    def listed(self, values: Any) -> dict[str, Any]:
        self.registered.op.listed(values)
        return {self.registered.op.operands[0].name: list(values)}

    def _run(self, arrays: Mapping[str, Any], out: Any, **settings: Any) -> Any:
        registered, op = self.registered, self.registered.op
        tensors = arrays[op.operands[0].name] if op.takes_list else arrays.values()
        way = direct.way(tensors)
        if settings.get("seed", 0) is None:
            settings["seed"] = _seed() if settings["training"] else 0
        if way == direct.PLAIN and not op.updates:
            return registered.on_memory(op.listed(tensors) if op.takes_list else arrays, settings)
        wanted = way == direct.GRADIENT or (way == direct.DISPATCHER and direct.asking(tensors))
        hidden = wanted and settings.get("return_indices") is False
        if hidden:  # the gradient needs them
            settings["return_indices"] = True
        changed = registered.updated(arrays, settings) if op.updates else []
        by = registered.with_gradient if way == direct.GRADIENT else None
        if way == direct.DISPATCHER and wanted and direct.transformed():
            by = registered.transformed
            if changed:
                raise NotImplementedError(
                    f"pycnn::{op.name} in a transform of torch.func, which knows no operands that "
                    f"change, as {changed[0]} does; allowed: backward"
                )
        if by is not None and not changed:
            returned = by(settings, *tensors)
            return returned[0] if hidden else returned
        given = registered.through(
            *(
                a.encode(settings[a.name]) if isinstance(a, Setting) else arrays[a]
                for a in registered.arguments
            )
        )
        if not registered.many:
            return given
        for name in reversed(changed):
            with torch.no_grad():
                arrays[name].copy_(given.pop())
        if op.results:
            return tuple(_by_name(op, given, arrays, settings))
        return given[0] if hidden or (len(given) == 1 and not op.always_tuple) else tuple(given)


def _by_name(
    op: Operation, given: list[Any], arrays: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[Any]:
    """The results with None where one is not computed."""
    if "needs" in settings:
        there = list(settings["needs"])
    else:
        there = [arrays.get(name.removeprefix("new_"), name) is not None for name in op.results]
    left = iter(given)
    return [next(left) if present else None for present in there]


@torch.compiler.disable
def _seed() -> int:
    """Of a mask, by PyTorch's generator: `torch.manual_seed` repeats it."""
    return int(torch.empty((), dtype=torch.int64).random_().item())


#: The same by their names, with the signatures of `pycnn`.
functions: dict[str, Callable[..., Any]] = {}

REGISTERED = {name: Registered(op) for name, op in OPERATIONS.items() if name not in VIEWS}


def _function(registered: Registered) -> Callable[..., Any]:
    signature = inspect.signature(getattr(pycnn, registered.op.name))
    kept = [p for name, p in signature.parameters.items() if name != "out"]
    signature = signature.replace(parameters=kept)
    function = bound(Function(registered), signature)
    function.__signature__ = signature
    function.__qualname__ = function.__name__
    function.__doc__ = (
        f"`pycnn.{registered.op.name}` on tensors, known to PyTorch's autograd and compiler."
    )
    return function


def split(x: Any, split_size_or_sections: Any, axis: int = 0, dim: int | None = None) -> Any:
    """`pycnn.split` on tensors: views, by PyTorch itself."""
    return x.split(split_size_or_sections, axis if dim is None else dim)


functions.update({name: _function(registered) for name, registered in REGISTERED.items()})
functions["split"] = split
