"""A server in this process, and a browser."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import live_browser
import numpy as np
import pytest

from pycnn import models, nn
from pycnn.live.network import Served, served
from pycnn.live.samples import Sample
from pycnn.live.show import Show
from pycnn.models.command_line import NamedModel


@contextlib.contextmanager
def running(show: Show, port: int = 0) -> Iterator[Any]:
    """A server that listens."""
    from pycnn.live.server import Live

    loop = asyncio.new_event_loop()
    made: list[Any] = []
    begun = threading.Event()

    async def begin() -> None:
        try:
            made.append(Live(show, port))
        except OSError as error:
            made.append(error)
        begun.set()

    def run() -> None:
        loop.run_until_complete(begin())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(60)
    if isinstance(made[0], OSError):
        loop.call_soon_threadsafe(loop.stop)
        raise made[0]

    async def end() -> None:
        made[0].stop()
        await made[0].close_all()

    try:
        yield made[0]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)


def show_of(model: nn.Layer, shape: tuple[int, ...] = (1, 28, 28), **more: Any) -> Show:
    """Of a model, with two samples of noise."""
    network: Served = served("test", NamedModel(model, shape, classes=tuple("abcdefghij")))
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    samples = [Sample(f"noise {i}", network.of_pixels(pixels)) for i, pixels in enumerate(noise)]
    return Show(network, samples, backend="reference", backends=["reference"], **more)


@pytest.fixture
def serving() -> Callable[..., contextlib.AbstractContextManager[Any]]:
    """The context manager that runs a server, of a `Show`."""
    pytest.importorskip("tornado", reason="tornado is not installed (extra live)")
    return running


@pytest.fixture
def showing() -> Callable[..., Show]:
    return show_of


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("tornado", reason="tornado is not installed (extra live)")
    program = live_browser.found()
    if program is None:
        pytest.skip(f"no browser is installed; any of {', '.join(live_browser.BROWSERS)} would do")
    made = live_browser.Browser(program, tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def lenet() -> nn.Layer:
    return models.create("lenet5", seed=3).eval()


@pytest.fixture(scope="module")
def lenet_page(lenet: nn.Layer) -> Iterator[Any]:
    """A server that shows LeNet-5."""
    pytest.importorskip("tornado", reason="tornado is not installed (extra live)")
    with running(show_of(lenet)) as live:
        yield live
