"""The model that a command line names: one of `pycnn.models`, or a checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pycnn import models
from pycnn.define.trace import tracing
from pycnn.nn.layer import Layer
from pycnn.runtime.options import is_path


class Chosen(NamedTuple):
    """A model and what is known of its inputs.

    Attributes
    ----------
    model : Layer
    input_shape : tuple of int
    mean, std : sequence of float or None
        Of every channel of the images it was trained on, pixels from 0 to 1.
    classes : sequence of str
        Their names, none where they are not known.
    """

    model: Layer
    input_shape: tuple[int, ...]
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    classes: Sequence[str] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL, and what it is made with."""
    parser.add_argument("model", metavar="MODEL", help="a name of pycnn.models, or a checkpoint")
    parser.add_argument("--input", type=shape, metavar="C,H,W",
                        help="shape of one input; by default that of the model")  # fmt: skip
    parser.add_argument("--classes", type=int, help="classes of the model")
    parser.add_argument("--width", type=float, help="factor on its channels")


def shape(text: str) -> tuple[int, ...]:
    """Extents, separated by commas.

    Examples
    --------
    >>> shape("3,224,224")
    (3, 224, 224)
    """
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: positive ints such as 3,224,224")
    return found


def outline(arguments: argparse.Namespace) -> Chosen:
    """The model, where it is a name without weights, so that it takes no memory."""
    if Path(arguments.model).is_file():
        return chosen(arguments)
    with tracing():
        return chosen(arguments)


def chosen(arguments: argparse.Namespace) -> Chosen:
    """The model with weights.

    Raises
    ------
    ValueError
        If there is no such model or file, or an argument does not go with it.
    """
    made_with = {"classes": arguments.classes, "width": arguments.width,
                 "input_shape": arguments.input}  # fmt: skip
    given = {name: value for name, value in made_with.items() if value is not None}
    if Path(arguments.model).is_file():
        return _checkpoint(arguments.model, given)
    if is_path(arguments.model):
        raise FileNotFoundError(f"{arguments.model}: no such file")
    model = models.create(arguments.model, **given)
    return Chosen(model, arguments.input or models.MODELS[arguments.model].input_shape)


def _checkpoint(path: str, given: dict[str, Any]) -> Chosen:
    from pycnn.train.checkpoint import load_model
    from pycnn.train.metadata import inputs_in

    if given:
        raise ValueError(
            f"{path} is a checkpoint, which says itself what the model is made with; "
            f"not allowed: {', '.join(given)}"
        )
    model, about = load_model(path)
    inputs = inputs_in(about, path)
    return Chosen(model, inputs.shape, inputs.mean, inputs.std, inputs.classes)
