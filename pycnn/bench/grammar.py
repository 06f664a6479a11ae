"""A problem as one word: ``n1c64h56w56k64r3s3p1`` is parsed, printed and rerun.

A letter names an extent and a number follows it. An extent with several values joins them with
``x``: ``u2x1`` is a stride of 2 down and 1 across, ``p0x1x2x3`` a padding of 0 above, 1 below, 2 on
the left and 3 on the right. ``s`` is always the width of the filter, as in the formulas; the stride
is ``u``. Letters may come in any order, each once; those with a default may be left out.

A class of problems is a frozen dataclass whose fields are annotated with a :class:`Letter`.
"""

import functools
import re
from dataclasses import MISSING, fields
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from pycnn.define.validate import Pair

T = TypeVar("T")


class Letter(NamedTuple):
    """What a letter of the grammar stands for, and how its values are read.

    An ``extent`` is one number, a ``pair`` (vertical, horizontal), ``sides`` ((top, bottom),
    (left, right)) and a ``switch`` a bool written 0 or 1.
    """

    letter: str
    meaning: str
    form: Literal["extent", "pair", "sides", "switch"] = "extent"
    minimum: int = 1


#: Numbers of values a letter may carry, by form.
COUNTS = {"extent": (1,), "pair": (1, 2), "sides": (1, 2, 4), "switch": (1,)}


class Slot(NamedTuple):
    """A field of a class of problems."""

    name: str
    spec: Letter
    default: Any  # MISSING where the letter must be given


@functools.cache
def slots(cls: Any) -> dict[str, Slot]:
    """The fields of `cls` by letter, in order."""
    hints = get_type_hints(cls, include_extras=True)
    letters = [Slot(f.name, hints[f.name].__metadata__[0], f.default) for f in fields(cls)]
    return {slot.spec.letter: slot for slot in letters}


def parse(cls: type[T], text: str) -> T:
    """The problem that `text` names.

    Parameters
    ----------
    cls : type
        The class of problems, e.g. `pycnn.bench.cases.ConvCase`.
    text : str
        E.g. ``"n1c64h56w56k64r3s3p1"``.

    Raises
    ------
    ValueError
        If `text` is not of the grammar; the message says what is wrong and shows what is allowed.

    Examples
    --------
    >>> from pycnn.bench.cases import ConvCase
    >>> parse(ConvCase, "n1c64h56w56k64r3s3p1u2").stride
    (2, 2)
    """
    try:
        return cls(**_values(cls, text))
    except ValueError as error:
        raise ValueError(f"shape {text!r}: {error}; allowed: {usage(cls)}") from None


def _values(cls: type, text: str) -> dict[str, Any]:
    word = text.strip().lower()
    if not re.fullmatch(r"(?:[a-z]\d+(?:x\d+)*)+", word):
        raise ValueError("not letters that are each followed by a number")
    known = slots(cls)
    values: dict[str, Any] = {}
    for letter, digits in re.findall(r"([a-z])(\d+(?:x\d+)*)", word):
        if letter not in known:
            raise ValueError(f"{letter!r} is not a letter of it")
        name, spec, _ = known[letter]
        if name in values:
            raise ValueError(f"{letter!r} ({spec.meaning}) is given twice")
        values[name] = _value(spec, [int(d) for d in digits.split("x")])
    missing = [c for c, s in known.items() if s.default is MISSING and s.name not in values]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    return values


def _value(spec: Letter, numbers: list[int]) -> Any:
    counts = COUNTS[spec.form]
    if len(numbers) not in counts:
        raise ValueError(f"{spec.letter!r} has {len(numbers)} values, not {_either(counts)}")
    if min(numbers) < spec.minimum:
        raise ValueError(f"{spec.letter!r} ({spec.meaning}) is less than {spec.minimum}")
    if spec.form == "switch":
        if numbers[0] > 1:
            raise ValueError(f"{spec.letter!r} ({spec.meaning}) is neither 0 nor 1")
        return bool(numbers[0])
    if spec.form == "extent":
        return numbers[0]
    if spec.form == "pair":
        return numbers[0], numbers[-1]
    if len(numbers) == 4:
        top, bottom, left, right = numbers
        return (top, bottom), (left, right)
    return (numbers[0],) * 2, (numbers[-1],) * 2


def render(case: Any) -> str:
    """The word that :func:`parse` turns into `case`; fields at their default are left out.

    Examples
    --------
    >>> from pycnn.bench.cases import ConvCase
    >>> render(ConvCase(1, 3, 9, 9, 8, 3, 3, padding=((1, 0), (1, 0)), stride=(2, 1)))
    'n1c3h9w9k8r3s3p1x0x1x0u2x1'
    """
    word = ""
    kind: Any = type(case)
    for letter, (name, spec, default) in slots(kind).items():
        value = getattr(case, name)
        if value != default:
            word += letter + "x".join(str(n) for n in _numbers(spec.form, value))
    return word


def _numbers(form: str, value: Any) -> tuple[int, ...]:
    if form in ("extent", "switch"):
        return (int(value),)
    if form == "pair":
        return _shorten(value)
    (top, bottom), (left, right) = value
    return _shorten((top, left)) if (top, left) == (bottom, right) else (top, bottom, left, right)


def _shorten(both: Pair) -> tuple[int, ...]:
    return both[:1] if both[0] == both[1] else both


def usage(cls: Any) -> str:
    """The grammar of `cls` in one line: an example, and what each letter means."""
    meanings = ", ".join(
        f"{letter if slot.default is MISSING else f'[{letter}]'} {slot.spec.meaning}"
        for letter, slot in slots(cls).items()
    )
    return f"letters with numbers, such as {cls.EXAMPLE}: {meanings}"


def _either(counts: tuple[int, ...]) -> str:
    return " or ".join(str(c) for c in counts)


def as_json(case: Any) -> dict[str, Any]:
    """The fields of `case` by name, as JSON holds them."""
    return {f.name: _lists(getattr(case, f.name)) for f in fields(case)}


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value
