"""The thread that computes for all tabs."""

import threading
from collections.abc import Iterator

import pytest

from pycnn.live.worker import Worker
from pycnn.runtime.active import active_backend


class Asker:
    """Notes that it was its turn; waits, the first time, until it may go on."""

    def __init__(self, name: str, log: list[str], gate: threading.Event) -> None:
        self.name, self.log, self.gate, self.began = name, log, gate, threading.Event()

    def compute(self) -> None:
        self.log.append(self.name)
        self.began.set()
        assert self.gate.wait(60)


def test_who_asks_often_gets_one_frame_and_the_others_are_not_kept_waiting() -> None:
    log: list[str] = []
    gate, done = threading.Event(), threading.Event()
    one, two = Asker("one", log, gate), Asker("two", log, gate)

    def work() -> Iterator[None]:
        for step in range(2):
            log.append(f"longer {step}")
            yield
        done.set()

    worker = Worker()
    worker.ask(one)
    assert one.began.wait(60)
    worker.later(work())
    for _ in range(5):
        worker.ask(two)
        worker.ask(one)
    gone = Asker("gone", log, gate)
    worker.ask(gone)
    worker.forget(gone)
    gate.set()
    assert done.wait(60)
    worker.stop()
    assert log == ["one", "two", "one", "longer 0", "longer 1"]


def test_what_fails_does_not_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Iterator[None]:
        raise RuntimeError("a bad day")
        yield

    worker = Worker("reference")
    gate = threading.Event()
    gate.set()
    worker.later(fails())
    after = Asker("after", [], gate)
    backends: list[str] = []

    def note() -> Iterator[None]:
        backends.append(active_backend())
        worker.ask(after)
        yield

    worker.later(note())
    assert after.began.wait(60)
    worker.stop()
    assert backends == ["reference"]
    assert "a bad day" in capsys.readouterr().err
