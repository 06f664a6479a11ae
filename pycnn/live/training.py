"""Training that is watched: the network as it is now, curves, filters and mistakes."""

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.data import DataSet
from pycnn.live.frames import pack
from pycnn.live.show import Show
from pycnn.nn.arrays import placer, to_numpy
from pycnn.nn.classifier import probabilities
from pycnn.nn.convolution import Conv2d
from pycnn.nn.layer import Layer
from pycnn.runtime.text import printable
from pycnn.train.history import figures
from pycnn.train.state import StepInfo
from pycnn.train.trainer import Trainer

#: Seconds between two messages, so that training has time too.
PERIOD = 0.5
#: Points of the curve that are kept; every other one goes where there are more.
MOST_POINTS = 400
#: Mistakes that are shown, of so many test images.
MOST_MISTAKES, TESTED = 24, 1000


class Stopped(Exception):
    """Nobody watches any more."""


class Watched:
    """Trains in a thread of its own, and tells all tabs about it.

    Parameters
    ----------
    trainer : Trainer
    epochs : int
    show : Show
        Is told a copy of the model, in evaluation mode, with every message.
    refresh : callable
        Tells the tabs.
    """

    def __init__(
        self, trainer: Trainer, epochs: int, show: Show, refresh: Callable[[], None]
    ) -> None:
        self._trainer, self._epochs, self._show, self._refresh = trainer, epochs, show, refresh
        self._losses: list[tuple[float, float]] = []
        self._mistakes: tuple[dict[str, Any], dict[str, np.ndarray]] = ({}, {})
        self._told, self._judged = 0.0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pycnn training", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next step, and wait for it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._trainer.fit(self._epochs, self._step)
            self._tell(f"trained: {self._trainer.state.history[-1]}")
        except Stopped:
            pass
        except Exception as error:  # such as `Diverged`; the page says it
            self._tell(f"training has stopped: {printable(error)}")

    def _step(self, info: StepInfo) -> None:
        if self._stop.is_set():
            raise Stopped
        at = info.epoch - 1 + info.step / info.steps
        self._losses.append((at, info.loss))
        if len(self._losses) > MOST_POINTS:
            del self._losses[1:-1:2]
        if time.monotonic() - self._told >= PERIOD:
            self._tell(
                f"epoch {info.epoch} of {self._epochs}, step {info.step} of {info.steps}: "
                f"loss {info.loss:.4f}{figures(info.metrics)}, {info.images_per_s:.0f} images/s"
            )

    def _tell(self, text: str) -> None:
        model = copy.deepcopy(self._trainer.model).eval()
        history = self._trainer.state.history
        if len(history) > self._judged:
            self._judged = len(history)
            self._mistakes = mistakes(model, self._trainer.data)
        about, pictures = self._mistakes
        filters = first_filters(model)
        header = {
            "type": "training", "text": text, "losses": self._losses,
            "history": [row.row() for row in history], **about,
        }  # fmt: skip
        arrays = pictures if filters is None else {"filters": filters, **pictures}
        self._show.tell(pack(header, arrays), model)
        self._refresh()
        self._told = time.monotonic()


def first_filters(model: Layer) -> np.ndarray | None:
    """The weights of the first convolution, float32 (K, C, R, S)."""
    for _, layer in model.named_layers():
        if isinstance(layer, Conv2d):
            return to_numpy(layer.params["weight"]).astype(np.float32)
    return None


def mistakes(model: Layer, data: DataSet) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """How many of the first test images a model gets wrong, which, and some of them to look at."""
    chosen = data.test[:TESTED]
    place = placer(model.parameters()[0].value)
    said = np.concatenate([
        to_numpy(probabilities(model, place(data.normalised(data.images[part])))).argmax(axis=1)
        for part in np.array_split(chosen, -(-len(chosen) // 250))
    ])  # fmt: skip
    wrong = np.flatnonzero(said != data.labels[chosen])
    listed = [(int(data.labels[chosen[i]]), int(said[i])) for i in wrong[:MOST_MISTAKES]]
    header = {"mistakes": listed, "wrong": len(wrong), "tested": len(chosen)}
    pictures = {f"mistake{n}": data.images[chosen[i]] for n, i in enumerate(wrong[:MOST_MISTAKES])}
    return header, pictures
