"""The model that a command line names: one of `pycnn.models`, or a checkpoint."""

import argparse
import importlib
from pathlib import Path

from pycnn import models
from pycnn.define.trace import tracing
from pycnn.nn.layer import Layer

Chosen = tuple[Layer, tuple[int, ...]]


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
    """The model without weights, which takes no memory, and the shape of its input."""
    with tracing():
        return chosen(arguments)


def chosen(arguments: argparse.Namespace) -> Chosen:
    """The model with weights, and the shape of its input.

    Raises
    ------
    ValueError
        If there is no such model or file; or the shape of a checkpoint's input is not given.
    """
    if Path(arguments.model).is_file():
        return _checkpoint(arguments)
    made_with = {"classes": arguments.classes, "width": arguments.width,
                 "input_shape": arguments.input}  # fmt: skip
    given = {name: value for name, value in made_with.items() if value is not None}
    model = models.create(arguments.model, **given)
    return model, arguments.input or models.MODELS[arguments.model].input_shape


def _checkpoint(arguments: argparse.Namespace) -> Chosen:
    checkpoint = importlib.import_module("pycnn.train.checkpoint")
    if arguments.input is None:
        raise ValueError(f"--input is missing; the checkpoint {arguments.model} does not say it")
    return checkpoint.load_model(arguments.model), arguments.input
