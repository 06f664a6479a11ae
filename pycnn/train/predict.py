"""Classes of images by a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import ops
from pycnn.data import read_image
from pycnn.nn.arrays import to_numpy
from pycnn.nn.layer import Layer
from pycnn.train.checkpoint import load_model


class Predictor:
    """A model together with what its inputs must look like.

    Parameters
    ----------
    model : Layer
    input_shape : (C, H, W)
        C is 1 or 3: images are read in grey or in colour, and resized to H x W.
    mean, std : sequence of float
        A channel each; pixels from 0 to 1 minus the mean, over the deviation, go in.
    classes : sequence of str

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn, train
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, init="zeros"))
    >>> predictor = train.Predictor(model, (1, 2, 2), [0.5], [1.0], ["cat", "dog"])
    >>> predictor.probabilities(np.zeros((1, 1, 2, 2), np.uint8))
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(
        self,
        model: Layer,
        input_shape: tuple[int, int, int],
        mean: Sequence[float],
        std: Sequence[float],
        classes: Sequence[str],
    ) -> None:
        if not len(mean) == len(std) == input_shape[0]:
            raise ValueError(f"mean and std have {len(mean)}, {len(std)} values for {input_shape}")
        self.model = model.eval()
        self.input_shape, self.classes = tuple(input_shape), tuple(classes)
        shape = (-1, 1, 1)
        self.mean = np.asarray(mean, np.float32).reshape(shape)
        self.std = np.asarray(std, np.float32).reshape(shape)

    @classmethod
    def load(cls, path: Path | str) -> "Predictor":
        """From a checkpoint that `pycnn train` wrote.

        Raises
        ------
        ValueError
            As `load_model`; also if the file does not say what inputs look like.
        """
        model, about = load_model(path)
        try:
            return cls(
                model, tuple(about["input_shape"]), about["mean"], about["std"], about["classes"]
            )
        except KeyError as error:
            raise ValueError(f"{path} does not say what inputs look like: no {error}") from error

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probability of every class, (N, classes), for images (N, C, H, W) uint8."""
        if images.dtype != np.uint8 or images.shape[1:] != self.input_shape:
            raise ValueError(
                f"images are {images.dtype} of shape {images.shape}; "
                f"allowed: uint8 of shape (N, {', '.join(map(str, self.input_shape))})"
            )
        x = (images.astype(np.float32) / np.float32(255) - self.mean) / self.std
        return to_numpy(ops.softmax(self.model(x)))

    def read(self, path: Path | str, invert: bool = False) -> np.ndarray:
        """An image file as the model takes it, (C, H, W) uint8.

        Raises
        ------
        ValueError, FileNotFoundError
            If it is no image that can be read; names the file.
        """
        channels, height, width = self.input_shape
        image = read_image(path, size=(height, width))
        if channels == 1 and len(image) == 3:  # luma of ITU-R BT.601, as in image libraries
            image = np.rint(np.tensordot([0.299, 0.587, 0.114], image, 1))[None].astype(np.uint8)
        elif channels == 3 and len(image) == 1:
            image = np.repeat(image, 3, axis=0)
        return 255 - image if invert else image

    def top(self, images: np.ndarray, count: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of every image, and their probabilities."""
        count = min(count, len(self.classes))
        values, indices = ops.topk(self.probabilities(images), count)
        return [
            [(self.classes[int(i)], float(v)) for v, i in zip(row, where, strict=True)]
            for row, where in zip(values, indices, strict=True)
        ]


def summary_of(about: dict[str, Any]) -> str:
    """One line on what a checkpoint says of itself."""
    model = about.get("model", {}).get("name", "unnamed model")
    progress = about.get("training", {}).get("progress", {})
    rows = progress.get("history", [])
    result = f", test accuracy {rows[-1]['test_accuracy']:.2%}" if rows else ""
    return f"{model} trained on {about.get('data', '?')}, {len(rows)} epochs{result}"
