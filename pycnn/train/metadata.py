"""What a checkpoint says about itself, taken apart with care: the file may be anyone's."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pycnn.data.image import MOST_PIXELS
from pycnn.runtime.text import printable

Row = TypeVar("Row")


class Inputs(NamedTuple):
    """What a model takes, as far as its checkpoint says so.

    Attributes
    ----------
    shape : tuple of int
        Of one input.
    mean, std : list of float or None
        Of every channel of the images it was trained on, pixels from 0 to 1.
    classes : tuple of str
        Their names, none where they are not known.
    """

    shape: tuple[int, ...]
    mean: list[float] | None
    std: list[float] | None
    classes: tuple[str, ...]


def parsed(text: str, path: Path | str) -> dict[str, Any]:
    """The JSON object `text`.

    Raises
    ------
    ValueError
        If it is none; names the file.
    """
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged: what it says about itself is no JSON ({error})"
        ) from None
    if not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: what it says about itself is no JSON object")
    return about


def model_in(about: Mapping[str, Any], path: Path | str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the model.

    Raises
    ------
    ValueError
        If they are not there, or of another form; names the file.
    """
    model = about.get("model")
    if not isinstance(model, dict) or "name" not in model:
        raise ValueError(
            f"{path} does not say which model of pycnn.models it is; "
            "with one of your own, pycnn.train.load_model(path, model)"
        )
    name, arguments = model["name"], model.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError(f"{path} is damaged: it says of its model {printable(model, 80)}")
    return name, {
        key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()
    }


def inputs_in(about: Mapping[str, Any], path: Path | str) -> Inputs:
    """What the model takes.

    Raises
    ------
    ValueError
        If the shape is not there, or anything is of another form; names the file.
    """
    if "input_shape" not in about:
        raise ValueError(f"{path} does not say what inputs look like: no input_shape")
    shape, classes = about["input_shape"], about.get("classes", [])
    if not _are(shape, int) or not shape or min(shape) < 1 or math.prod(shape[1:]) > MOST_PIXELS:
        raise ValueError(f"{path} is damaged: input_shape is {printable(shape, 80)}")
    if not _are(classes, str):
        raise ValueError(f"{path} is damaged: classes are {printable(classes, 80)}")
    mean, std = (_of_channels(about, name, shape[0], path) for name in ("mean", "std"))
    if std is not None and min(std) <= 0:
        raise ValueError(f"{path} is damaged: std is {printable(std, 80)}")
    return Inputs(tuple(shape), mean, std, tuple(printable(name, 80) for name in classes))


def restored(kind: type[Row], values: Any) -> Row:
    """A dataclass of numbers from what `dataclasses.asdict` made of one.

    Raises
    ------
    ValueError
        If a field is missing, unknown, or no finite number of its kind (counts are from 0 on).
    """
    if not isinstance(values, dict):
        raise ValueError(f"{printable(values, 80)} is no {kind.__name__}")
    kinds: dict[str, Any] = {each.name: each.type for each in fields(kind)}  # type: ignore[arg-type]
    for name, value in values.items():
        wanted = kinds.get(name)
        if wanted is int:
            fits = _is_count(value)
        elif wanted == dict[str, float]:
            fits = isinstance(value, dict) and all(map(_is_number, value.values()))
        else:
            fits = wanted is not float or _is_number(value)
        if wanted is None or not fits:
            raise ValueError(f"{printable(name, 40)}={printable(value, 40)} of {kind.__name__}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None


def same_form(saved: Any, own: Any) -> bool:
    """Whether `found` has the names that `own` has, and a finite number where it has one."""
    if isinstance(own, dict):
        return (
            isinstance(saved, dict)
            and saved.keys() == own.keys()
            and all(same_form(saved[name], own[name]) for name in own)
        )
    return _is_number(saved) if isinstance(own, int | float) else type(saved) is type(own)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _of_channels(
    about: Mapping[str, Any], name: str, channels: int, path: Path | str
) -> list[float] | None:
    values = about.get(name)
    if values is None:
        return None
    if not _are(values, int | float) or len(values) != channels or not all(map(_finite, values)):
        raise ValueError(f"{path} is damaged: {name} is {printable(values, 80)}")
    return [float(value) for value in values]


def _are(values: Any, kind: Any) -> bool:
    """Whether `values` is a list of `kind`; True and False are no numbers."""
    return isinstance(values, list) and all(
        isinstance(value, kind) and not isinstance(value, bool) for value in values
    )


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
