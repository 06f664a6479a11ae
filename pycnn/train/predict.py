"""Classes of image files by a trained model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import pycnn
from pycnn.data import normalise, read_image
from pycnn.models import load_pretrained
from pycnn.nn.arrays import placer, to_numpy
from pycnn.nn.classifier import probabilities
from pycnn.nn.layer import Layer
from pycnn.train.checkpoint import load_model


@dataclass(frozen=True)
class Predictor:
    """A model, how it takes an image file, and what its scores mean.

    Attributes
    ----------
    model : Layer
        In evaluation mode.
    read : callable
        ``read(path, invert)``: the file as the model takes it, float32 (C, H, W).
    classes : sequence of str
        A name for every score.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn, train
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, init="zeros"))
    >>> predictor = train.Predictor(model.eval(), None, ["cat", "dog"])
    >>> predictor.probabilities(np.zeros((1, 1, 2, 2), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """

    model: Layer
    read: Callable[[Path, bool], np.ndarray]
    classes: Sequence[str]

    @classmethod
    def from_checkpoint(cls, path: Path | str) -> "Predictor":
        """Of a file that `pycnn train` wrote.

        Raises
        ------
        ValueError, FileNotFoundError, MissingExtra
            As `load_model`; also if the file does not say what inputs look like.
        """
        model, about = load_model(path)
        for name in ("input_shape", "mean", "std", "classes"):
            if name not in about:
                raise ValueError(f"{path} does not say what inputs look like: no {name}")
        channels, *size = about["input_shape"]

        def read(image: Path, invert: bool) -> np.ndarray:
            pixels = read_image(image, (size[0], size[1]), channels)
            pixels = 255 - pixels if invert else pixels
            return normalise(pixels[None], about["mean"], about["std"])[0]

        return cls(model, read, about["classes"])

    @classmethod
    def pretrained(cls, name: str) -> "Predictor":
        """Of a trained network that a package ships, see `pycnn.models.load_pretrained`."""
        trained = load_pretrained(name)

        def read(image: Path, invert: bool) -> np.ndarray:
            pixels = read_image(image, channels=3)
            return trained.prepare(255 - pixels if invert else pixels)

        return cls(trained.model, read, trained.classes)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Probability of every class, (N, classes), for inputs (N, C, H, W) from `read`.

        See `pycnn.nn.classifier.probabilities`.
        """
        parameters = self.model.parameters()
        place = placer(parameters[0].value) if parameters else np.asarray
        return to_numpy(probabilities(self.model, place(x)))

    def top(self, path: Path, count: int = 5, invert: bool = False) -> list[tuple[str, float]]:
        """The most probable classes of an image file, and their probabilities.

        Parameters
        ----------
        path : Path
        count : int, default 5
            At most as many as there are classes.
        invert : bool, default False
            Make light dark and dark light first.

        Raises
        ------
        ValueError, FileNotFoundError
            If it is no image that can be read; names the file.
        """
        row = self.probabilities(self.read(Path(path), invert)[None])[0]
        values, indices = pycnn.topk(row, min(count, len(self.classes)))
        return [(self.classes[int(i)], float(v)) for v, i in zip(values, indices, strict=True)]
