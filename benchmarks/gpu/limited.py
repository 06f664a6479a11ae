"""Commands that may last only so long."""

import os
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Exit status of a command that was stopped and kept what it had.
INTERRUPTED = 130


def limited(command: list[str], seconds: float, **variables: str) -> int:
    """Run a command from the root of the checkout; interrupt it when its time is over."""
    print("$ " + " ".join(command), flush=True)
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, preexec_fn=_heed_interrupts
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"stopped after {seconds:.0f} s", flush=True)
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _heed_interrupts() -> None:
    """A shell's background jobs ignore interrupts, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
