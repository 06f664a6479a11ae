"""One tab of a browser: what it asked for, what it changed, and what it is told."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pycnn.live import costs
from pycnn.live.frames import pack, unpack
from pycnn.live.network import Built, Changes, Result, changed, compute, of_bytes
from pycnn.live.show import Show
from pycnn.live.worker import Worker
from pycnn.nn.arrays import to_numpy
from pycnn.nn.layer import Layer
from pycnn.runtime.text import printable

#: Maps of a layer that are sent, where the page asks for no more.
MOST_MAPS = 16


class Tab:
    """Answers the messages of one page.

    Parameters
    ----------
    show : Show
        What all tabs have in common.
    worker : Worker
    send : callable
        Takes a message, in any thread.
    leave : callable
        Ends the connection.
    """

    def __init__(
        self, show: Show, worker: Worker, send: Callable[[bytes], None], leave: Callable[[], None]
    ) -> None:
        self._show, self._worker, self._send, self.leave = show, worker, send, leave
        self._asked: tuple[int, Callable[[], Any]] | None = None
        self._image: Any = None
        self._changes = Changes()
        self._more: dict[int, int] = {}
        self._built: tuple[Changes, Layer, Built] | None = None
        self._last: Result | None = None
        self._lock = threading.Lock()
        self._answers: dict[str, Callable[..., None]] = {
            "pixels": self._pixels, "sample": self._sample, "file": self._file,
            "changes": self._switch, "edit": self._edit, "restore": self._restore,
            "more": self._show_more, "layer": self._layer, "weights": self._weights,
            "times": self._times, "predict": self._predict,
        }  # fmt: skip

    # --- what the page says -----------------------------------------------------------------

    def begin(self) -> None:
        """Say what there is."""
        self._send(self._show.greeting())
        self._describe()
        if news := self._show.news():
            self._send(news)

    def receive(self, message: bytes) -> None:
        """Do what a message asks for; one that is none is answered by a message that says so."""
        try:
            header, arrays = unpack(message)
            answer = self._answers.get(str(header.get("type")))
            if answer is None:
                raise ValueError(f"a message of type {printable(header.get('type'), 40)!r}")
            answer(header, arrays)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            self.say(error)

    def say(self, error: object) -> None:
        """Tell the page what went wrong, in one line."""
        self._send(pack({"type": "error", "text": printable(error)}))

    def hear(self) -> None:
        """Tell the page the news, and compute again."""
        self._send(self._show.news())
        self.refresh()

    def refresh(self) -> None:
        """Compute again what was asked for last: the network is another one."""
        if self._asked:
            self._worker.ask(self)

    def _ask(self, header: Mapping[str, Any], image: Callable[[], Any]) -> None:
        self._asked = int(header["frame"]), image
        self._worker.ask(self)

    def _pixels(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        pixels = arrays["pixels"]
        if pixels.shape != tuple(self._show.network.input_shape) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels {pixels.dtype}{pixels.shape} for this network")
        self._ask(header, lambda: self._show.network.of_pixels(pixels))

    def _sample(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        sample = self._show.samples[int(header["index"])]
        self._ask(header, lambda: sample.image)

    def _file(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        data = arrays["data"].tobytes()
        self._ask(header, lambda: of_bytes(self._show.network, data))

    def _switch(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        pooling, activation = str(header["pooling"]), str(header["activation"])
        self._change(replace(self._changes, pooling=pooling, activation=activation))

    def _edit(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """One filter, (C, R, S), or a row of weights."""
        name, number, values = f"{header['layer']}.weight", int(header["filter"]), arrays["values"]
        if name not in {p.name for p in self._show.model.parameters()}:
            raise ValueError(f"no weights {printable(name, 80)}")
        if not np.isfinite(values).all():
            raise ValueError("weights must be finite numbers")
        weight = self._weight(name).copy()
        if values.shape != weight.shape[1:] or not 0 <= number < len(weight):
            raise ValueError(f"a filter of shape {values.shape} for weights {weight.shape}")
        weight[number] = values
        self._change(replace(self._changes, arrays={**self._changes.arrays, name: weight}))

    def _restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._change(replace(self._changes, arrays={}))

    def _change(self, changes: Changes) -> None:
        with self._lock:
            before, self._changes = self._changes, changes
        same = (changes.pooling, changes.activation) == (before.pooling, before.activation)
        if not same:
            self._describe()
        self.refresh()

    def _show_more(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._more[int(header["layer"])] = max(1, int(header["count"]))
        self.refresh()

    # --- what is answered at once, of the last frame ------------------------------------------

    def _layer(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """The whole result of a layer, or the input, for the sums of the page."""
        number = int(header["layer"])
        if self._last is None:
            raise ValueError("no input yet")
        values = self._last.x if number < 0 else self._last.outputs[number]
        self._send(_array("layer", number, values))

    def _weights(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        number = int(header["layer"])
        params = self._network().shown[number].step.layer.params
        self._send(weights(number, params["weight"], params.get("bias")))

    def _weight(self, name: str) -> np.ndarray:
        if name in self._changes.arrays:
            return self._changes.arrays[name]
        return to_numpy(self._show.model.state_dict()[name])

    def _times(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        shown = self._network().shown
        self._worker.later(costs.measured(shown, str(header["backend"]), self._send))

    def _predict(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        shown = self._network().shown
        self._worker.later(costs.predicted(shown, str(header["gpu"]), self._send))

    # --- frames -----------------------------------------------------------------------------

    def _network(self) -> Built:
        """The network as this tab has changed it."""
        with self._lock:
            changes, base = self._changes, self._show.model
            if self._built is None or self._built[:2] != (changes, base):
                model = changed(base, changes)
                self._built = changes, base, Built.of(model, self._show.network.input_shape)
            return self._built[2]

    def _describe(self) -> None:
        self._send(pack(description(self._network(), self._show.network.input_shape)))

    def compute(self) -> None:
        """A frame of what was asked for last; in the worker's thread."""
        if self._asked is None:
            return
        number, prepare = self._asked
        begin = time.perf_counter()
        try:
            result = compute(self._network(), prepare())
        except Exception as error:
            self.say(error)
            self._send(pack({"type": "frame", "frame": number, "failed": True}))
            return
        self._last = result
        self._send(frame(result, number, time.perf_counter() - begin, self._more))


def description(built: Built, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """What the page must know of the layers."""
    return {"type": "layers", "layers": [one.as_json(input_shape[1:]) for one in built.shown]}


def weights(layer: int, weight: Any, bias: Any) -> bytes:
    """The message that has what a layer has learned."""
    arrays = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    floats = {name: to_numpy(array).astype(np.float32) for name, array in arrays.items()}
    return pack({"type": "weights", "layer": layer}, floats)


def frame(
    result: Result, number: int, seconds: float, more: Mapping[int, int], with_input: bool = False
) -> bytes:
    """The message that has what the page shows of a result; of `more` layers more than is usual."""
    arrays = {"photo": result.photo}
    if with_input:
        arrays["x"] = result.x.astype(np.float32)
    if result.probabilities is not None:
        arrays["probabilities"] = result.probabilities.astype(np.float32)
    largest = []
    for place, output in enumerate(result.outputs):
        maps = output.ndim > 1 and output[0].size > 1
        sent = output[: more.get(place, MOST_MAPS)] if maps else output
        arrays[str(place)] = sent.astype(np.float32, copy=False)
        largest.append(_finite(max(-output.min(), output.max())))
    header = {"type": "frame", "frame": number, "ms": 1e3 * seconds, "largest": largest}
    return pack(header, arrays)


def _finite(number: Any) -> float:
    return float(number) if np.isfinite(number) else 0.0


def _array(kind: str, layer: int, values: np.ndarray) -> bytes:
    return pack({"type": kind, "layer": layer}, {"values": values.astype(np.float32)})
