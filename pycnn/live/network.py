"""The network behind the page: how it takes pixels, how it is changed, what it computes."""

import copy
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import nn
from pycnn.live.layers import Shown, shown_layers
from pycnn.models import Pretrained
from pycnn.models.command_line import NamedModel
from pycnn.nn.arrays import placer, to_numpy
from pycnn.nn.classifier import probabilities
from pycnn.nn.layer import Layer
from pycnn.nn.observe import evaluating, observing
from pycnn.see.prepare import from_pixels, photo_of, prepare_image, prepare_pretrained

#: An input as a network takes it, and the same pixels to look at, uint8 (C, H, W).
Image = tuple[np.ndarray, np.ndarray]

POOLINGS: dict[str, type[Layer]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
ACTIVATIONS: dict[str, type[Layer]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Served:
    """A network, and what is known of it.

    Attributes
    ----------
    name : str
    model : Layer
    input_shape : (channels, height, width)
    classes : sequence of str
        Their names, none where they are not known.
    data : str
        The data set whose images are the samples.
    note : str
        What a reader must know, such as that the weights are random.
    of_pixels, of_file : callable
        An `Image` of uint8 pixels of `input_shape`, and of an image file.
    """

    name: str
    model: Layer
    input_shape: tuple[int, ...]
    classes: Sequence[str]
    data: str
    note: str
    of_pixels: Callable[[np.ndarray], Image]
    of_file: Callable[[Path], Image]


def served(name: str, named: NamedModel, note: str = "") -> Served:
    """Of a model that takes pixels less their mean, over their deviation.

    Raises
    ------
    ValueError
        If it takes no images.
    """
    shape, mean, std = named.input_shape, named.mean, named.std
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"{name} takes inputs of shape {shape}; allowed here: images "
            "(1 or 3 channels, height, width)"
        )

    def of_file(path: Path) -> Image:
        image = prepare_image(path, shape, mean, std)
        return image.x, image.photo

    return Served(
        name, named.model, shape, named.classes, named.data, note,
        lambda pixels: (from_pixels(pixels, mean, std), pixels), of_file,
    )  # fmt: skip


def served_pretrained(name: str, trained: Pretrained, input_shape: tuple[int, ...]) -> Served:
    """Of a network with trained weights that a package ships."""

    def of_pixels(pixels: np.ndarray) -> Image:
        x = trained.prepare(pixels)
        return x, photo_of(x)

    def of_file(path: Path) -> Image:
        image = prepare_pretrained(path, trained)
        return image.x, image.photo

    return Served(name, trained.model, input_shape, trained.classes, "", "", of_pixels, of_file)


def of_bytes(network: Served, data: bytes) -> Image:
    """An `Image` of the bytes of an image file, which came from somewhere.

    Raises
    ------
    ValueError
        If they cannot be read as an image; says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "the picture"
        path.write_bytes(data)
        try:
            return network.of_file(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), path.name)) from None


@dataclass(frozen=True, eq=False)
class Changes:
    """What somebody at the page has changed in the network.

    Attributes
    ----------
    pooling, activation : str
        A key of `POOLINGS` and of `ACTIVATIONS`; empty as it was built.
    arrays : mapping of str to array
        Parameters by full name.
    """

    pooling: str = ""
    activation: str = ""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, allowed in (("pooling", POOLINGS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in ("", *allowed):
                raise ValueError(f"{name}: allowed are {', '.join(allowed)}, and nothing")


def changed(model: Layer, changes: Changes) -> Layer:
    """The model with these changes, in evaluation mode; all other arrays are its own.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    >>> changed(net, Changes(pooling="avg", activation="tanh"))
    Sequential(0=Conv2d(1, 2, 3), 1=Tanh(), 2=AvgPool2d(2))
    """
    arrays = {id(array): array for array in model.state_dict().values()}
    result = copy.deepcopy(model, arrays)
    for _, parent in list(result.named_layers()):
        for name, child in parent.children.items():
            for kinds, wanted in (
                (POOLINGS, changes.pooling), (ACTIVATIONS, changes.activation)
            ):  # fmt: skip
                if wanted and type(child) in kinds.values() and _can_be_another(child):
                    parent.children[name] = _another(child, kinds[wanted])
    owners = {p.name: p for p in result.parameters()}
    for name, array in changes.arrays.items():
        owner = owners[name]
        for layer, key in ((owner.layer, owner.key), *owner.shared):
            layer.params[key] = placer(layer.params[key])(array)
    return result.eval()


def _can_be_another(layer: Any) -> bool:
    """Not where the other kind has no such setting: windows with gaps."""
    return bool(layer.settings.get("dilation", 1) in (1, (1, 1)))


def _another(layer: Any, kind: Any) -> Layer:
    """A layer of that kind with the same windows."""
    if type(layer) is kind:
        same: Layer = layer
        return same
    keep = ("kernel_size", "stride", "padding", "ceil_mode", "layout")
    settings = {name: layer.settings[name] for name in keep if name in layer.settings}
    made: Layer = kind(**settings)
    return made


@dataclass(frozen=True)
class Result:
    """What a network makes of an image.

    Attributes
    ----------
    photo : uint8 array (C, H, W)
        What it was shown, to look at.
    x : float32 array (C, H, W)
        What it was shown.
    outputs : list of array
        Of every layer that is shown, for this one example.
    probabilities : array or None
        Of the classes; None of what is no classifier.
    layer_us : list of float
        Microseconds until each of them was there, since the one before it.
    """

    photo: np.ndarray
    x: np.ndarray
    outputs: list[np.ndarray]
    probabilities: np.ndarray | None
    layer_us: list[float]


@dataclass(frozen=True, eq=False)
class Built:
    """A network that is ready to be shown.

    Attributes
    ----------
    model : Layer
    shown : list of Shown
    is_classifier : bool
        Whether its result is a row of scores.
    """

    model: Layer
    shown: list[Shown]
    is_classifier: bool

    @classmethod
    def of(cls, model: Layer, input_shape: tuple[int, ...]) -> "Built":
        """Of a model for inputs of this shape."""
        shape = model.output_shape(input_shape)
        return cls(model, shown_layers(model, input_shape), len(shape) == 1 and shape[0] > 1)


def compute(built: Built, image: Image) -> Result:
    """Run a network, in evaluation mode, on one image."""
    model, shown = built.model, built.shown
    wanted = {layer.call: place for place, layer in enumerate(shown)}
    outputs: dict[int, np.ndarray] = {}
    times: dict[int, float] = {}
    calls = 0
    before = time.perf_counter()

    def note(layer: Layer, x: Any, y: Any) -> None:
        nonlocal calls, before
        if calls in wanted:
            outputs[wanted[calls]] = to_numpy(y)[0]
            now = time.perf_counter()
            times[wanted[calls]] = 1e6 * (now - before)
            before = now
        calls += 1

    x, photo = image
    parameters = model.parameters()
    batch = (placer(parameters[0].value) if parameters else np.asarray)(x[None])
    with observing(note):
        if built.is_classifier:
            scores = to_numpy(probabilities(model, batch))[0]
        else:
            scores = None
            with evaluating(model):
                model(batch)
    places = range(len(shown))
    return Result(photo, x, [outputs[i] for i in places], scores, [times[i] for i in places])
