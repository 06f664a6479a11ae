"""The schema of an operation, as `torch.library` writes it, from the public function's signature.

Arrays are ``Tensor``, ``Tensor?`` or ``Tensor[]``; settings have the type of their annotation. What
has several forms, such as padding, goes as text: `torch.library` knows no union of types.
"""

import ast
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import pycnn
from pycnn.define.operation import Gradient, Operation


class Setting(NamedTuple):
    """An argument that is no array: how it goes through the dispatcher, and comes out of it."""

    name: str
    kind: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    default: Any = inspect.Parameter.empty

    @property
    def encoded_default(self) -> Any:
        """As it goes through the dispatcher; of no use where there is none."""
        return None if self.default is inspect.Parameter.empty else self.encode(self.default)

    @property
    def declared(self) -> str:
        """As the schema has it."""
        if self.default is inspect.Parameter.empty:
            return f"{self.kind} {self.name}"
        value = self.encoded_default
        shown = f'"{value}"' if isinstance(value, str) else repr(value)
        return f"{self.kind} {self.name}={shown}"


def _same(value: Any) -> Any:
    return value


def _listed(value: Any) -> Any:
    return value if value is None else [value] if isinstance(value, int) else list(value)


def _one_or_all(values: Any) -> Any:
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def _signed(value: Any) -> Any:
    """64 bits without a sign as the dispatcher's integers."""
    if value is not None and not 0 <= value < 2**64:
        raise ValueError(f"seed or offset {value}; allowed: int from 0 to {2**64 - 1}")
    return value if value is None or value < 2**63 else value - 2**64


def _unsigned(value: Any) -> Any:
    return None if value is None else value % 2**64


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)


_AS_IT_IS = {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "int | None": "int?",
    "float | None": "float?",
    "bool | None": "bool?",
    "str | None": "str?",
    "float | int | bool | None": "Scalar?",
}

_LISTS = {
    "int | Sequence[int]": ("int[]", _one_or_all),
    "int | tuple[int, ...]": ("int[]", _one_or_all),
    "int | Sequence[int] | None": ("int[]?", _one_or_all),
    "int | tuple[int, ...] | None": ("int[]?", _one_or_all),
    "Sequence[int]": ("int[]", _tuple),
    "tuple[int, ...]": ("int[]", _tuple),
    "Sequence[int] | None": ("int[]?", _tuple),
    "Sequence[bool]": ("bool[]", _tuple),
    "tuple[bool, bool, bool]": ("bool[]", _tuple),
}


def arguments_of(op: Operation) -> list[str | Setting]:
    """All that goes through the dispatcher: names of arrays, and settings, without `out`.

    In the order of the public function, but for what has no default there and goes by keyword.
    """
    parameters = dict(inspect.signature(getattr(pycnn, op.name)).parameters)
    settings = {*op.required, *op.defaults}
    arrays = {operand.name for operand in op.operands}
    names = [name for name in parameters if name in settings or name in arrays]
    names.sort(key=lambda name: parameters[name].default is not inspect.Parameter.empty)
    return [_setting(parameters[name]) if name in settings else name for name in names]


def _setting(parameter: inspect.Parameter) -> Setting:
    kind = parameter.annotation
    said = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    said = said.replace("collections.abc.", "").replace("typing.", "")
    name, default = parameter.name, parameter.default
    if name in ("seed", "offset"):
        return Setting(name, _AS_IT_IS[said], _signed, _unsigned, default)
    if said in _AS_IT_IS:
        return Setting(name, _AS_IT_IS[said], _same, _same, default)
    if said in _LISTS:
        declared, decode = _LISTS[said]
        return Setting(name, declared, _listed, decode, default)
    return Setting(name, "str", repr, ast.literal_eval, default)


def gives_many(op: Operation) -> bool:
    """Whether it returns a list, also where that may have but one tensor."""
    function = inspect.signature(getattr(pycnn, op.name))
    several = "tuple" in str(function.return_annotation) or "return_indices" in function.parameters
    return isinstance(op, Gradient) or several or bool(op.updates)


def schema(op: Operation) -> str:
    """Its schema.

    Examples
    --------
    >>> from pycnn.define.registry import OPERATIONS
    >>> schema(OPERATIONS["softmax"])
    'softmax(Tensor x, int axis=-1) -> Tensor'
    """
    kinds = {o.name: "Tensor?" if o.optional else "Tensor" for o in op.operands}
    parameters = inspect.signature(getattr(pycnn, op.name)).parameters
    if op.takes_list:
        kinds = dict.fromkeys(kinds, "Tensor[]")
    declared = ", ".join(
        f"{kinds[a]} {a}{'=None' * (parameters[a].default is None)}"
        if isinstance(a, str)
        else a.declared
        for a in arguments_of(op)
    )
    return f"{op.name}({declared}) -> {'Tensor[]' if gives_many(op) else 'Tensor'}"
