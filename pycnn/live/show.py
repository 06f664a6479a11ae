"""What all tabs have in common: the network, its samples, and what training says."""

import copy
from collections.abc import Sequence

import numpy as np

from pycnn.live.frames import pack
from pycnn.live.network import Served
from pycnn.live.samples import Sample
from pycnn.nn.layer import Layer

#: Pixels of the longer side of a sample in the page.
THUMBNAIL = 64


class Show:
    """The network that is shown.

    Attributes
    ----------
    network : Served
    model : Layer
        As it is now: while it is trained, another one every now and then.
    samples : sequence of Sample
    """

    def __init__(
        self, network: Served, samples: Sequence[Sample], why_none: str = "", backend: str = "",
        backends: Sequence[str] = (), gpus: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.network, self.samples = network, samples
        self.model = (
            copy.deepcopy(network.model).eval() if network.model.training else network.model
        )
        self._about = {
            "type": "network", "name": network.name, "input": network.input_shape,
            "classes": list(network.classes), "note": network.note, "why_none": why_none,
            "samples": [sample.name for sample in samples], "backend": backend,
            "backends": list(backends), "gpus": list(gpus),
            "parameters": network.model.parameter_count,
        }  # fmt: skip
        self._news = b""

    def greeting(self) -> bytes:
        """The message that says what there is."""
        thumbnails = {f"sample{i}": thumbnail(s.image[1]) for i, s in enumerate(self.samples)}
        return pack(self._about, thumbnails)

    def news(self) -> bytes:
        """The last message about training; nothing where there is none."""
        return self._news

    def tell(self, news: bytes, model: Layer) -> None:
        """The network is another one, and this is said of its training."""
        self._news, self.model = news, model


def thumbnail(photo: np.ndarray) -> np.ndarray:
    """Every n-th pixel, so that the longer side is `THUMBNAIL` at most."""
    step = -(-max(photo.shape[1:]) // THUMBNAIL)
    return np.ascontiguousarray(photo[:, ::step, ::step])
