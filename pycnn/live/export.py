"""The page with all that it shows inside: for some inputs, without a server."""

import zlib
from collections.abc import Iterator

import numpy as np

from pycnn.live.frames import pack
from pycnn.live.network import Built, compute
from pycnn.live.page_text import page
from pycnn.live.show import Show
from pycnn.live.tab import description, frame, weights

#: Of a page; browsers become slow beyond.
MOST_BYTES = 128 * 2**20


def export(show: Show) -> str:
    """The page as text, with every number of every layer for the samples of `show`.

    Raises
    ------
    ValueError
        If there are no samples, or the page would have more than `MOST_BYTES`.
    """
    if not show.samples:
        raise ValueError("--export: there is no input to show; give --image FILE")
    built = Built.of(show.model, show.network.input_shape)
    data, total = [], 0
    for message in _messages(show, built):
        data.append(zlib.compress(message))
        total += 4 * len(data[-1]) // 3
        if total > MOST_BYTES:
            raise ValueError(
                f"--export: a page of more than {MOST_BYTES >> 20} MiB; allowed: fewer inputs "
                "(--image), or a smaller network"
            )
    return page(live=False, title=f"{show.network.name} · pycnn", data=data)


def _messages(show: Show, built: Built) -> Iterator[bytes]:
    yield show.greeting()
    yield pack(description(built, show.network.input_shape))
    for number, layer in enumerate(built.shown):
        if (layer.extra or {}).get("exact"):
            params = layer.step.layer.params
            yield weights(number, params["weight"], params.get("bias"))
    whole = {place: np.iinfo(np.int32).max for place in range(len(built.shown))}
    for sample in show.samples:
        yield frame(compute(built, sample.image), 0, 0.0, whole, with_input=True)
