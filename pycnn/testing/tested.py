"""What an operation is held to: cases, oracle, inputs, PyTorch's answer.

For every definition of `pycnn.define` there is a class here, in the module of the same name, that
says what must come out (`oracle`, `terms`), what PyTorch makes of it (`torch`), and on which
problems it is tried (`cases`, `draw`). Tests, benchmarks and the sanitizer's run derive from it;
``import pycnn`` loads nothing of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.dtypes import numpy_dtype
from pycnn.testing.case import Case

#: Arguments of a public function that are no arrays.
Settings = Mapping[str, Any]


class NoPeer(Exception):
    """PyTorch cannot compute this; the message says what it lacks."""


def tensor_of(array: np.ndarray) -> Any:
    """The same elements for PyTorch, which takes no dtype of ml_dtypes from NumPy: by bits."""
    import torch

    if array.dtype.isbuiltin == 1:
        return torch.from_numpy(array)
    bits = torch.from_numpy(array.view(f"u{array.itemsize}"))
    return bits.view(getattr(torch, array.dtype.name))


class Tested(ABC):
    """What one operation is held to.

    Parameters
    ----------
    op : Operation
        The definition.

    Notes
    -----
    ``class Softmax(Tested, of=define.Softmax)`` takes over for every definition of that class and
    of those derived from it, unless they have a class of their own.
    """

    cases: Sequence[Case]

    #: How many times the necessary bytes kernels ask for, at most, where memory bounds them.
    traffic: float = 1.1

    #: The class that speaks for a class of definitions.
    classes: dict[type, type["Tested"]] = {}  # noqa: RUF012

    def __init_subclass__(cls, of: type | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if of is not None:  # else what several have in common
            Tested.classes[of] = cls

    def __init__(self, op: Operation) -> None:
        self.op: Any = op

    @staticmethod
    def of(op: Operation) -> "Tested":
        """What `op` is held to."""
        for kind in type(op).__mro__:
            if kind in Tested.classes:
                return Tested.classes[kind](op)
        raise LookupError(f"{op.name} is not tested: no class in pycnn.testing stands for it")

    @abstractmethod
    def oracle(self, settings: Settings, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What must come out, in float64, by name and in the order in which it is returned.

        `settings` are what the public function gets, as a caller writes them, and nothing that
        `pycnn.define` made of them.
        """

    def terms(
        self, settings: Settings, arrays: Mapping[str, np.ndarray]
    ) -> int | Mapping[str, int]:
        """Length of the longest sum behind an element, of all outputs or by output."""
        return 1

    def meant(self, settings: Settings) -> SimpleNamespace:
        """`settings`, and the defaults in the signature of the public function for the others."""
        return SimpleNamespace(**{**self.op.defaults, **settings})

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Random inputs for a case: normal values, unless an operation needs others."""
        return {name: normal(rng, shape, dtype) for name, shape in case.shapes.items()}

    def placeholders(self, case: Case, dtype: str) -> dict[str, np.ndarray]:
        """Arrays of the shapes and dtypes of a case that take no memory."""
        own = {operand.name: operand.dtypes for operand in self.op.operands}
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
        self, function: Callable[..., Any], arrays: Arrays, settings: Settings
    ) -> tuple[Any, ...]:
        """Call the public function, or one with its signature; always a tuple, without None."""
        if self.op.takes_list:
            returned = function(list(arrays.values()), **settings)
        else:
            returned = function(**arrays, **settings)
        returned = returned if isinstance(returned, tuple) else (returned,)
        return tuple(array for array in returned if array is not None)

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        """The same by PyTorch, on its tensors: outputs by name, as far as it has them.

        Raises
        ------
        NoPeer
            If it has no such operation, or not with these settings.
        """
        import torch

        function = getattr(torch.nn.functional, self.op.name, None)
        if function is None:
            raise NoPeer(f"PyTorch has no function {self.op.name}")
        return {"y": function(*tensors.values(), **settings)}

    @property
    def typical(self) -> Case:
        """A case that is small and not empty."""
        small = (case for case in self.cases if not case.standard)
        return next(c for c in small if all(0 not in shape for shape in c.shapes.values()))

    @property
    def typical_dtype(self) -> str:
        """The dtype of tests that need only one."""
        return "float32" if "float32" in self.op.dtypes else str(self.op.dtypes[0])


class TestedGradient(Tested, of=Gradient):
    """What the gradient of an operation is held to: same cases, inputs that belong together."""

    def __init__(self, op: Gradient) -> None:
        super().__init__(op)
        self.forward: Any = Tested.of(op.forward)

    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward."""
        return self.forward.cases

    def settings(self, case: Case) -> dict[str, Any]:
        """Of the settings of forward, those that its gradient has too."""
        known = {*self.op.required, *self.op.defaults}
        return {name: value for name, value in case.settings.items() if name in known}

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        return self.draw_both(case, rng, dtype)[1]

    def draw_both(
        self, case: Case, rng: np.random.Generator, dtype: str
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Inputs of forward; and those of the gradient: among them, what forward's oracle makes.

        What came out of forward has been rounded to its dtype, as it is in use.
        """
        inputs, settings = self.forward.draw(case, rng, dtype), self.forward.settings(case)
        call = self.op.forward.describe(inputs, **settings)
        names = [operand.name for operand in self.op.operands]
        produced: Mapping[str, np.ndarray] = {}
        if not set(names) <= set(inputs) | set(self.op.upstream):
            produced = self.forward.oracle(settings, inputs)
        drawn = {}
        for name in names:
            if name in self.op.upstream:
                drawn[name] = normal(rng, call.outputs[self.op.upstream[name]].shape, dtype)
            elif name in inputs:
                drawn[name] = inputs[name]
            elif name in produced:
                # as forward lays it out: an oracle may have moved the axes of another array
                result = np.asarray(produced[name])
                drawn[name] = result.astype(call.outputs[name].dtype, order="C")
        return inputs, drawn

    def torch_gradients(
        self, inputs: Arrays, upstream: Arrays, settings: Settings
    ) -> dict[str, Any]:
        """d`x` for every floating input `x` of forward, by PyTorch's automatic differentiation."""
        import torch

        leaves = {
            name: t.requires_grad_() if t.is_floating_point() else t for name, t in inputs.items()
        }
        outputs = self.forward.torch(leaves, settings)
        differentiable = {name: t for name, t in leaves.items() if t.is_floating_point()}
        gradients = torch.autograd.grad(
            [outputs[self.op.upstream[name]] for name in upstream],
            list(differentiable.values()),
            list(upstream.values()),
            allow_unused=True,
        )
        return {f"d{n}": g for n, g in zip(differentiable, gradients, strict=True) if g is not None}


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Standard normal values."""
    return np.asarray(rng.standard_normal(shape)).astype(numpy_dtype(dtype))


def numbered(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """The values of a list by the names that they have there: ``tensors[0]``, ..."""
    return {f"{name}[{i}]": value for i, value in enumerate(values)}
