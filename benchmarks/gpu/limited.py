"""Commands that may last only so long."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

#: Exit status of a command that was stopped and kept what it had.
INTERRUPTED = 130

#: What ends a command whose time is over, and the seconds it then has to come to its end.
SIGNALS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stopped: bool  # because its time was over


def limited(command: list[str], seconds: float, **variables: str) -> int:
    """Run a command from the root of the checkout; its exit status. Stop it after `seconds`."""
    return run_limited(command, seconds, **variables).status


def run_limited(
    command: list[str],
    seconds: float,
    heed: Callable[[str], object] | None = None,
    **variables: str,
) -> Ended:
    """Run a command from the root of the checkout, and end all of its processes in time.

    Parameters
    ----------
    command : list of str
    seconds : float
        After so many its process group, of which it is the first, is interrupted; what is left
        of it is terminated, and then killed.
    heed : callable, optional
        Gets every line that it prints, on both streams; by default they are printed.
    **variables : str
        Of the environment.

    Returns
    -------
    Ended
    """
    print("$ " + " ".join(command), flush=True)
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, text=True, errors="replace",
        stdout=subprocess.PIPE if heed else None, stderr=subprocess.STDOUT if heed else None,
        start_new_session=True, preexec_fn=heed_interrupts,
    )  # fmt: skip
    reader = threading.Thread(target=_read, args=(process, heed), daemon=True)
    reader.start()
    stopped = False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"stopped after {seconds:.0f} s", flush=True)
        stopped = True
    finally:  # also when we are interrupted ourselves: a session of its own hears of nothing
        _end(process)
    reader.join(1.0)
    return Ended(process.wait(), stopped)


def _read(process: subprocess.Popen[str], heed: Callable[[str], object] | None) -> None:
    if heed and process.stdout:
        for line in process.stdout:
            heed(line.rstrip("\n"))


def _end(process: subprocess.Popen[str]) -> None:
    """End the group. Its first process may be gone already, and others left."""
    for number, patience in SIGNALS:
        if not _alive(process):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        end = time.monotonic() + patience
        while _alive(process) and time.monotonic() < end:
            time.sleep(0.02)


def _alive(process: subprocess.Popen[str]) -> bool:
    """Whether any process of the group still runs."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def heed_interrupts() -> None:
    """A shell's background jobs ignore interrupts, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
