"""One thread that computes for all tabs, one thing at a time."""

import contextlib
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from pycnn.runtime.backends import use_backend


class Asker(Protocol):
    """Somebody for whom a frame is computed, of what it asked for last."""

    def compute(self) -> None: ...


class Worker:
    """Computes frames in the order in which they were asked for, and longer work between them.

    Who asks again before its turn gets one frame, of what is then the latest.

    Parameters
    ----------
    backend : str
        Of `pycnn.use_backend`; "cuda" goes by the arrays.
    """

    def __init__(self, backend: str = "reference") -> None:
        self._backend = backend
        self._wake = threading.Condition()
        self._due: dict[Asker, None] = {}
        self._longer: deque[Iterator[None]] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="pycnn live", daemon=True)
        self._thread.start()

    def ask(self, asker: Asker) -> None:
        """Compute a frame for somebody, soon; once, however often it asks before that."""
        with self._wake:
            self._due.setdefault(asker)
            self._wake.notify()

    def later(self, work: Iterator[None]) -> None:
        """Do longer work, a step of it whenever no frame is due."""
        with self._wake:
            self._longer.append(work)
            self._wake.notify()

    def forget(self, asker: Asker) -> None:
        """Who has left gets no frame any more."""
        with self._wake:
            self._due.pop(asker, None)

    def stop(self) -> None:
        """End, after what is being computed."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _run(self) -> None:
        backend = (
            contextlib.nullcontext() if self._backend == "cuda" else use_backend(self._backend)
        )
        with backend:
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._due or self._longer or self._stopped)
                    if self._stopped:
                        return
                    asker = next(iter(self._due), None)
                    if asker is not None:
                        del self._due[asker]
                try:
                    if asker is not None:
                        asker.compute()
                    else:
                        self._step()
                except Exception:  # of one tab; the others go on
                    traceback.print_exc(file=sys.stderr)

    def _step(self) -> None:
        work = self._longer.popleft()
        for _ in work:
            self._longer.append(work)
            return
