"""Ctrl-C that waits for the end of a step."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and stopped at the end of a step; says where it was saved."""


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C (or SIGTERM) is noted only, and the second acts at once.

    Yields
    ------
    callable
        Whether one was noted. Outside the main thread, signals are left alone.
    """
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
