"""What only some networks can be told: which arguments those are, checked, and read from text."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pycnn.models.table import MODELS
from pycnn.runtime.text import did_you_mean

#: Those of all networks, which command lines have options of their own for.
GENERAL = {"input_shape": "--input", "classes": "--classes", "width": "--width"}


def own(name: str) -> dict[str, inspect.Parameter]:
    """The arguments that a network of `MODELS` has beside those of all.

    Examples
    --------
    >>> list(own("lenet5")), list(own("vgg16"))
    (['padding', 'hidden'], [])
    """
    parameters = inspect.signature(MODELS[name].builder).parameters
    return {key: one for key, one in parameters.items() if key not in GENERAL}


def check(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse values of another type than the builder's; further limits are the builder's to check.

    Raises
    ------
    ValueError
        Names the argument, and what is allowed.
    """
    for key, parameter in own(name).items():
        if key in arguments and not _fits(arguments[key], parameter.annotation):
            raise ValueError(
                f"{name}: {key}={arguments[key]!r}: allowed are {_kind(parameter.annotation)}"
            )


def read(name: str, texts: Sequence[str], option: str = "--arg") -> dict[str, Any]:
    """Arguments of a network from ``NAME=VALUE``, as the option ``--arg`` has them.

    Parameters
    ----------
    name : str
        A key of `MODELS`; of another nothing is read, for `create` to refuse it.
    texts : sequence of str
        Such as "hidden=120,100", "heads=false" or "shortcut=none".
    option : str, default "--arg"
        For messages.

    Raises
    ------
    ValueError
        If there is no such argument, it is given twice, or its value is of another type; says which
        there are.

    Examples
    --------
    >>> read("lenet5", ["hidden=120,100", "padding=0"])
    {'hidden': (120, 100), 'padding': 0}
    >>> read("lenet5", ["hiden=120,100"])
    Traceback (most recent call last):
    ...
    ValueError: --arg hiden=120,100: lenet5 has padding (an int from 0 on, 2 by default), \
hidden (2 ints from 1 on, 120,84 by default); did you mean hidden?
    """
    if name not in MODELS:
        return {}
    found: dict[str, Any] = {}
    parameters = own(name)
    for text in texts:
        key, equals, value = text.partition("=")
        said = f"{option} {text}"
        if key in GENERAL:
            raise ValueError(
                f"{said}: allowed are arguments of this network alone; where a command leaves it "
                f"open, there is {GENERAL[key]}"
            )
        if key not in parameters:
            raise ValueError(f"{said}: {name} has {_all(name)}{did_you_mean(key, parameters)}")
        if key in found:
            raise ValueError(f"{said}: {key} is given twice; allowed: once")
        kind = parameters[key].annotation
        try:
            found[key] = _read(value, kind)
        except ValueError:
            raise ValueError(f"{said}: allowed are {_kind(kind)}, as {key}=VALUE") from None
        if not equals or not _fits(found[key], kind):
            raise ValueError(f"{said}: allowed are {_kind(kind)}, as {key}=VALUE")
    return found


def text(value: Any) -> str:
    """A value as `read` takes it.

    Examples
    --------
    >>> text((120, 84)), text(False)
    ('120,84', 'false')
    """
    if isinstance(value, tuple):
        return ",".join(map(text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _all(name: str) -> str:
    words = [
        f"{key} ({_kind(one.annotation)}, {text(one.default)} by default)"
        for key, one in own(name).items()
    ]
    return ", ".join(words) or "no arguments beside those of all networks"


_TRUTH = {"true": True, "false": False}
_READERS: dict[Any, Callable[[str], Any]] = {
    int: int, float: float, str: str, bool: lambda word: _TRUTH[word],
}  # fmt: skip
_WORDS = {int: "an int from 0 on", float: "a number", str: "a word", bool: "true or false"}


def _read(value: str, kind: Any) -> Any:
    if parts := get_args(kind):
        return tuple(_read(one, parts[0]) for one in value.split(","))
    try:
        return _READERS[kind](value)
    except KeyError:
        raise ValueError(value) from None


def _fits(value: Any, kind: Any) -> bool:
    if parts := get_args(kind):
        return (
            isinstance(value, tuple)
            and len(value) == len(parts)
            and all(type(one) is int and one >= 1 for one in value)
        )
    if kind is float:
        return type(value) is int or (isinstance(value, float) and math.isfinite(value))
    return type(value) is kind and (kind is not int or value >= 0)


def _kind(kind: Any) -> str:
    parts = get_args(kind)
    return f"{len(parts)} ints from 1 on" if parts else _WORDS[kind]
