"""The model that a command line names: one of `pycnn.models`, or a checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pycnn.define.trace import tracing
from pycnn.models import arguments as of_model
from pycnn.models.build import create
from pycnn.models.table import MODELS
from pycnn.nn.layer import Layer
from pycnn.runtime.files import require_file
from pycnn.runtime.options import is_path
from pycnn.runtime.text import printable


class NamedModel(NamedTuple):
    """A model and what is known of its inputs.

    Attributes
    ----------
    model : Layer
    input_shape : tuple of int
    mean, std : sequence of float or None
        Of every channel of the images it was trained on, pixels from 0 to 1.
    classes : sequence of str
        Their names, none where they are not known.
    data : str
        The data set it was trained on, where a checkpoint says so.
    """

    model: Layer
    input_shape: tuple[int, ...]
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    classes: Sequence[str] = ()
    data: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL, and what it is made with."""
    parser.add_argument("model", metavar="MODEL", help="a name of pycnn.models, or a checkpoint")
    parser.add_argument("--input", type=shape, metavar="C,H,W",
                        help="shape of one input; by default that of the model")  # fmt: skip
    parser.add_argument("--classes", type=int, help="classes of the model")
    parser.add_argument("--width", type=float, help="factor on its channels")
    add_own(parser)


def add_own(parser: argparse.ArgumentParser) -> None:
    """``--arg``, for what only some networks have."""
    parser.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", dest="own",
        help="what only this network has, such as hidden=120,100 of lenet5; repeat it",
    )  # fmt: skip


def refuse_settings(arguments: argparse.Namespace, why: str) -> None:
    """Refuse what `add_arguments` adds beside MODEL, where the model is made already."""
    for option in ("input", "classes", "width", "own"):
        if getattr(arguments, option) not in (None, []):
            raise ValueError(f"--{'arg' if option == 'own' else option}: {why}")


def shape(text: str) -> tuple[int, ...]:
    """Extents, separated by commas.

    Examples
    --------
    >>> shape("3,224,224")
    (3, 224, 224)
    """
    try:
        extents = tuple(map(int, text.split(",")))
    except ValueError:
        extents = ()
    if not extents or min(extents) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: positive ints such as 3,224,224")
    return extents


def shapes_of(arguments: argparse.Namespace) -> NamedModel:
    """The model, where it is a name without weights, so that it takes no memory."""
    if Path(arguments.model).is_file():
        return model_of(arguments)
    with tracing():
        return model_of(arguments)


def model_of(arguments: argparse.Namespace) -> NamedModel:
    """The model with weights.

    Raises
    ------
    ValueError
        If there is no such model or file, or an argument does not go with it.
    """
    if Path(arguments.model).is_file():
        refuse_settings(arguments, f"the checkpoint {arguments.model} says itself what its model "
                                   "is made with; allowed with a name of pycnn.models")  # fmt: skip
        return _checkpoint(arguments.model)
    if is_path(arguments.model):
        require_file(Path(arguments.model), "checkpoint")
        raise FileNotFoundError(f"{arguments.model}: no such file")
    settings = {"classes": arguments.classes, "width": arguments.width,
                "input_shape": arguments.input}  # fmt: skip
    settings = {name: value for name, value in settings.items() if value is not None}
    settings |= of_model.read(arguments.model, arguments.own)
    model = create(arguments.model, **settings)
    return NamedModel(model, arguments.input or MODELS[arguments.model].input_shape)


def _checkpoint(path: str) -> NamedModel:
    from pycnn.train.checkpoint import load_model
    from pycnn.train.metadata import inputs_in

    model, about = load_model(path)
    inputs = inputs_in(about, path)
    data = printable(about.get("data", ""), 80)
    return NamedModel(model, inputs.shape, inputs.mean, inputs.std, inputs.classes, data)
