"""A public function *is* its signature and its documentation: the definition does the rest.

`operation` reads the signature once, when the module is imported. Parameters that are operands of
the definition hold arrays, ``out`` takes the first result, and all others are settings, whose
defaults the definition knows from here. The function that callers get is written as text and
compiled, as `dataclasses` does: Python itself binds the arguments, so that a wrong call gives
Python's own error and a right one costs one function.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, TypeVar

from pycnn.define.documentation import documented
from pycnn.define.operation import Operation

#: One number for all axes, or one for each.
Extent = int | Sequence[int]

#: The same where None means as many as there are.
Size = int | None | Sequence[int | None]

F = TypeVar("F", bound=Callable[..., Any])

_TEXT = """\
def {name}({parameters}):
{synonyms}    return _run({arrays}, {out}{settings})
"""

#: Names of PyTorch's that are taken beside NumPy's, by a parameter of their own.
SYNONYMS = {"dim": "axis", "dims": "axes", "keepdim": "keepdims"}

_SYNONYM = """\
    if {theirs} is not None:
        {ours} = _either("{ours}", {ours}, "{theirs}", {theirs})
    elif {ours} is _UNSET:
        {ours} = {default!r}
"""

#: Default of a parameter that has a synonym: its own one is also what a caller may write.
_UNSET = object()


def operation(definition: Operation, like: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Make the decorated function, which has no body, the public one of `definition`.

    It has the definition as its attribute of that name, and in its documentation what it leaves
    out: what all of them raise, and along one axis or three what goes in and comes out, which is
    that of the function `like` it along two.

    Examples
    --------
    >>> import inspect, pycnn
    >>> from pycnn.define.registry import OPERATIONS
    >>> inspect.signature(pycnn.softmax).parameters["axis"].default
    -1
    >>> OPERATIONS["softmax"].defaults
    {'axis': -1}
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        definition.declare(function.__name__, signature, SYNONYMS)
        public = bound(definition, signature)
        public.definition = definition
        update_wrapper(public, function).__doc__ = documented(function, like)
        return public

    return decorate


def bound(definition: Any, signature: inspect.Signature) -> Any:
    """A function of `signature` that hands arrays and settings to `definition.run`."""
    public = _compiled(definition, signature)
    _set_defaults(public, signature)
    return public


def _set_defaults(public: Any, signature: inspect.Signature) -> None:
    """Those of the signature, but for parameters that have a synonym."""
    unset = {ours for theirs, ours in SYNONYMS.items() if theirs in signature.parameters}
    defaults = {
        name: (_UNSET if name in unset else p.default, p.kind is p.KEYWORD_ONLY)
        for name, p in signature.parameters.items()
        if p.default is not p.empty
    }
    public.__defaults__ = tuple(value for value, keyword in defaults.values() if not keyword)
    public.__kwdefaults__ = {name: value for name, (value, keyword) in defaults.items() if keyword}


def _compiled(definition: Any, signature: inspect.Signature) -> Any:
    names = [operand.name for operand in definition.operands]
    arrays = "{" + ", ".join(f"{n!r}: {n}" for n in names) + "}"
    if definition.takes_list:
        arrays = f"_listed({names[0]})"
    text = _TEXT.format(
        name=definition.name,
        parameters=", ".join(_parameters(signature)),
        synonyms="".join(
            _SYNONYM.format(ours=ours, theirs=theirs, default=definition.defaults[ours])
            for theirs, ours in SYNONYMS.items()
            if theirs in signature.parameters
        ),
        arrays=arrays,
        out="out" if definition.takes_out else "None",
        settings="".join(f", {n}={n}" for n in (*definition.required, *definition.defaults)),
    )
    place: dict[str, Any] = {"_run": definition.run, "_either": _either, "_UNSET": _UNSET}
    if definition.takes_list:
        place["_listed"] = definition.listed
    exec(compile(text, f"<pycnn.{definition.name}>", "exec"), place)
    return place[definition.name]


def _parameters(signature: inspect.Signature) -> list[str]:
    """Names, and a star ahead of those that go by keyword only."""
    kinds = [p.kind for p in signature.parameters.values()]
    names = list(signature.parameters)
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        names.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    return names


def _either(ours: str, value: Any, theirs: str, other: Any) -> Any:
    if value is not _UNSET:
        raise TypeError(f"{ours}={value!r} and {theirs}={other!r}; allowed: one of the two")
    return other
