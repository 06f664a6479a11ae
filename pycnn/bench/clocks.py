"""Clocks, temperature and power of the GPU while it is measured, through `nvidia-smi`.

A time means little without them: a GPU that is hot, or short of power, runs slower. Samples in
which it was idle, because the CPU checked a result, are left out as long as there are others.
"""

import contextlib
import subprocess
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

#: What is queried, with its unit.
MEASURED = {"clocks.sm": "MHz", "clocks.mem": "MHz", "temperature.gpu": "C", "power.draw": "W"}

#: The field of the reasons why clocks are below their highest; the second is for older drivers.
REASONS_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")

#: Bits of that field.
IDLE = 0x1
REASONS = {
    0x2: "clocks set by hand", 0x4: "power limit", 0x8: "hardware slowdown", 0x10: "sync boost",
    0x20: "too hot (driver)", 0x40: "too hot (hardware)", 0x80: "power brake",
}  # fmt: skip

#: Milliseconds between two samples.
INTERVAL = 200


class Sampler:
    """What `nvidia-smi` says of a GPU again and again, from its begin to `close`.

    Parameters
    ----------
    bus : str
        PCI address of the GPU: its number differs between CUDA and the driver.
    """

    def __init__(self, bus: str) -> None:
        self._samples: list[tuple[int, list[float]]] = []
        self._process: subprocess.Popen[str] | None = None
        self._reason = ""
        field = next((field for field in REASONS_FIELDS if _answers(bus, field)), None)
        if field is None:
            self._reason = "nvidia-smi is missing, or does not answer for this GPU"
            return
        # Its own session: an interrupt of ours is not one of it.
        self._process = subprocess.Popen(
            [*_command(bus, field, *MEASURED), f"--loop-ms={INTERVAL}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            sample = parse(line)
            if sample:
                self._samples.append(sample)

    def close(self) -> None:
        """Ask no more."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._reader.join()

    def as_json(self) -> dict[str, Any]:
        """Least, median and largest of each quantity, and how often what held the clocks back."""
        if not self._samples:
            return {"samples": 0, "reason": self._reason or "nvidia-smi gave no sample"}
        return summarised(list(self._samples))


def parse(line: str) -> tuple[int, list[float]] | None:
    """Bits of the reasons and the quantities of one sample; NaN for what a GPU does not tell."""
    first, *rest = (part.strip() for part in line.split(","))
    if len(rest) != len(MEASURED):
        return None
    return int(_number(first, 0)), [_number(value, float("nan")) for value in rest]


def _number(text: str, otherwise: float) -> float:
    with contextlib.suppress(ValueError):
        return int(text, 16) if text.startswith("0x") else float(text)
    return otherwise


def summarised(samples: list[tuple[int, list[float]]]) -> dict[str, Any]:
    """See `Sampler.as_json`."""
    busy = [sample for sample in samples if not sample[0] & IDLE] or samples
    about: dict[str, Any] = {"samples": len(busy), "idle": len(samples) - len(busy)}
    for i, (name, unit) in enumerate(MEASURED.items()):
        values = np.array([sample[1][i] for sample in busy])
        values = values[np.isfinite(values)]
        if values.size:
            ends = {"min": values.min(), "median": np.median(values), "max": values.max()}
            about[name] = {"unit": unit, **{end: float(value) for end, value in ends.items()}}
    shares = {text: sum(bool(bits & bit) for bits, _ in busy) / len(busy)
              for bit, text in REASONS.items()}  # fmt: skip
    about["held_back"] = {text: round(share, 3) for text, share in shares.items() if share}
    return about


def lines(sampled: Any) -> list[str]:
    """What `Sampler.as_json` says, for a person."""
    if not isinstance(sampled, dict):
        return []
    if not sampled.get("samples"):
        return [f"clocks of the GPU unknown: {sampled.get('reason', 'no samples')}"]
    parts = [
        f"{name} {_span(sampled[name])}" for name in MEASURED if isinstance(sampled.get(name), dict)
    ]
    shown = [f"GPU while measured: {', '.join(parts)}"]
    held = [f"{text} in {share:.0%}" for text, share in sampled.get("held_back", {}).items()]
    if held:
        shown.append(f"THROTTLED: {', '.join(held)} of {sampled['samples']} samples")
    return shown


def _span(of: dict[str, Any]) -> str:
    return f"{of['median']:.0f} {of['unit']} ({of['min']:.0f} to {of['max']:.0f})"


@contextlib.contextmanager
def sampling(bus: str | None) -> Iterator[Sampler | None]:
    """A sampler of the GPU at `bus`, while the block runs; None where there is no GPU."""
    sampler = Sampler(bus) if bus else None
    try:
        yield sampler
    finally:
        if sampler:
            sampler.close()


def _command(bus: str, *fields: str) -> list[str]:
    query = f"--query-gpu={','.join(fields)}"
    return ["nvidia-smi", f"--id={bus}", query, "--format=csv,noheader,nounits"]


def _answers(bus: str, field: str) -> bool:
    try:
        done = subprocess.run(_command(bus, field), capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
