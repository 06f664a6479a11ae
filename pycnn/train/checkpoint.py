"""Checkpoints: a model, and what training goes on from, in one safetensors file.

The file holds arrays and text, nothing that could run. It is written beside and renamed, so that an
interruption leaves the last good one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.define.trace import tracing
from pycnn.dtypes import FLOATING
from pycnn.nn.arrays import library, to_numpy
from pycnn.nn.fuse import fuse
from pycnn.nn.layer import Layer
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import replacing
from pycnn.runtime.text import printable
from pycnn.train.metadata import model_in, parsed

FORMAT = "pycnn checkpoint 1"
PURPOSE = "a checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes
    ----------
    model : dict of str to array
        Parameters and buffers, as `Layer.state_dict`.
    optimizer : dict of str to array
        As `Optimizer.state_dict`; empty for a model alone.
    about : dict
        JSON: the name and arguments of the model, classes, and how far training is.
    """

    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)


def save(
    path: Path | str,
    model: Layer,
    about: Mapping[str, Any] | None = None,
    optimizer: Mapping[str, Any] | None = None,
) -> None:
    """Write the arrays of a model to a file.

    Parameters
    ----------
    path : Path or str
        The folder must exist.
    model : Layer
    about : mapping, optional
        What `Checkpoint.about` will be; anything JSON can hold. Under "model" stands the recipe of
        a model that `pycnn.models.create` made, with which `load_model` makes it anew.
    optimizer : mapping of str to array, optional
        `Optimizer.state_dict`.

    Raises
    ------
    MissingExtra
        If safetensors is not installed.
    OSError
        If the file cannot be written, such as on a full disk; one that was there is as it was.

    Examples
    --------
    >>> import os, tempfile
    >>> from pycnn import nn, train
    >>> model = nn.Linear(2, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     train.save(os.path.join(folder, "m.safetensors"), model)
    ...     read = train.load(os.path.join(folder, "m.safetensors"))
    >>> sorted(read.model)
    ['bias', 'weight']
    """
    safetensors = import_extra("safetensors.numpy", "train", PURPOSE)
    arrays = {f"model/{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in (optimizer or {}).items()}
    arrays = {name: np.ascontiguousarray(to_numpy(array)) for name, array in arrays.items()}
    about = ({"model": model.recipe} if model.recipe else {}) | dict(about or {})
    text = {"format": FORMAT, "about": json.dumps(about, allow_nan=False)}
    data = safetensors.save(arrays, metadata=text)  # its save_file makes files of its own beside
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: Path | str) -> Checkpoint:
    """Read a file that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no checkpoint: another format (a pickle is never opened), cut short, or damaged.
    MissingExtra
        If safetensors is not installed.
    """
    library = import_extra("safetensors", "train", PURPOSE)
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with library.safe_open(path, framework="numpy") as file:
            text = file.metadata() or {}
            arrays = (
                {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if text.get("format") == FORMAT
                else {}
            )
    except OSError:
        raise
    except Exception as error:  # of the library, or NumPy's at a dtype or shape that it lacks
        raise ValueError(
            printable(f"{path} is no checkpoint, or was cut short or damaged: {error}")
        ) from error
    if text.get("format") != FORMAT:
        format = printable(repr(text.get("format")), 80)
        raise ValueError(f"{path} is no checkpoint: its format is {format}")
    about = parsed(text.get("about", ""), path)
    return Checkpoint(_under("model", arrays), _under("optimizer", arrays), about)


def load_model(path: Path | str, model: Layer | None = None) -> tuple[Layer, dict[str, Any]]:
    """The model of a file, in evaluation mode and in its dtypes, and what the file says about it.

    Parameters
    ----------
    path : Path or str
    model : Layer, optional
        One of your own, which gets the arrays, and is fused where that of the file was; by default
        one of `pycnn.models` is made anew, as the file says.

    Raises
    ------
    ValueError, FileNotFoundError, MissingExtra
        As `load`; also if the file does not say which model of `pycnn.models` it is, or its arrays
        are not those of the model.

    Examples
    --------
    >>> import os, tempfile
    >>> from pycnn import nn, train
    >>> class Twice(nn.Layer):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(1, 1, 1)
    ...     def compute(self, x):
    ...         return self.conv(self.conv(x))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "m.safetensors")
    ...     train.save(path, Twice().to("bfloat16"))
    ...     read, _ = train.load_model(path, Twice())
    >>> read.children["conv"].params["weight"].dtype.name
    'bfloat16'
    """
    from pycnn.models import create

    checkpoint = load(path)
    recipe = checkpoint.about.get("model")
    fused = isinstance(recipe, dict) and recipe.get("fused") is True
    name = "model of your own"
    try:
        if model is None:
            name, arguments = model_of(checkpoint, path)
            with tracing():  # of placeholders: nothing is allocated before shapes are compared
                made: Any = create(name, **arguments)
                if fused:
                    fuse(made.eval())
        else:
            made = model
            if fused and not (made.recipe or {}).get("fused"):
                fuse(made.eval())
        _convert(made, checkpoint.model)
        made.load_state_dict(checkpoint.model)
    except (ValueError, TypeError, ArithmeticError, MemoryError, RecursionError) as error:
        message = printable(f"{path}, said to be a {name}: {error}")
        raise ValueError(message) from error
    return made.eval(), checkpoint.about


def _convert(model: Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the model the dtypes of the file's arrays, if they are of its own shapes."""
    own = model.state_dict()
    if own.keys() != arrays.keys() or any(own[n].shape != arrays[n].shape for n in own):
        return  # which `load_state_dict` refuses
    made: dict[int, tuple[Any, Any]] = {}  # by identity, with what holds on to it
    for name, held, key in model._named_arrays():
        array, kind = held[key], arrays[name].dtype
        if array.dtype != kind and {array.dtype.name, kind.name} <= {*FLOATING}:
            _, held[key] = made.setdefault(id(array), (array, library(array).empty_like(
                array, dtype=kind)))  # fmt: skip


def model_of(checkpoint: Checkpoint, path: Path | str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the model in a file."""
    return model_in(checkpoint.about, path)


def _under(folder: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(f"{folder}/"): array
        for name, array in arrays.items()
        if name.startswith(f"{folder}/")
    }
