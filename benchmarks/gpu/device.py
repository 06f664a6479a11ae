"""The GPU that is measured: what it is, and its clocks while it works."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

#: Asked again and again while something is measured; older drivers call the first one otherwise.
FIELDS = ("clocks.sm", "temperature.gpu", "power.draw")
REASONS_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")

#: Bits of the reasons for clocks below the highest: one is idleness, the others slow a measurement.
IDLE = 0x1
REASONS = {
    0x2: "clocks set by hand", 0x4: "power limit", 0x8: "hardware slowdown", 0x10: "sync boost",
    0x20: "heat", 0x40: "heat (hardware)", 0x80: "power brake",
}  # fmt: skip


def describe() -> dict[str, Any]:
    """Name, PCI address, driver and clocks of the current GPU."""
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    bus = runtime.deviceGetPCIBusId(runtime.getDevice())
    fields = ("driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit")
    values = _ask(bus, fields) or []
    return {"name": properties["name"].decode(), "pci_bus": bus, **dict(zip(fields, values))}  # noqa: B905


@contextlib.contextmanager
def watched(bus: str, file: Path) -> Iterator[None]:
    """Append a line a second to `file` while the block runs: reasons and `FIELDS`."""
    field = next((name for name in REASONS_FIELDS if _ask(bus, (name,))), None)
    if field is None:
        yield
        return
    with file.open("a") as lines:
        process = subprocess.Popen(
            [*_command(bus, (field, *FIELDS)), "--loop=1"], stdout=lines, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def clocks(file: Path) -> str:
    """Clocks and what held them back, of the samples in which the GPU was not idle; one line."""
    samples = [s for s in map(_parse, file.read_text().splitlines()) if s] if file.exists() else []
    busy = [sample for sample in samples if not sample[0] & IDLE] or samples
    if not busy:
        return "clocks unknown: nvidia-smi did not answer"
    sm, heat, power = ([sample[1][i] for sample in busy] for i in range(3))
    held = [name for bit, name in REASONS.items() if any(sample[0] & bit for sample in busy)]
    return (
        f"SM clock {median(sm):.0f} MHz ({min(sm):.0f} to {max(sm):.0f}), "
        f"{max(heat):.0f} C, {max(power):.0f} W, "
        + (f"THROTTLED: {', '.join(held)}" if held else "not throttled")
    )


def _parse(line: str) -> tuple[int, list[float]] | None:
    try:
        first, *rest = (part.strip() for part in line.split(","))
        values = [float(part) for part in rest]
        return (int(first, 16), values) if len(values) == len(FIELDS) else None
    except ValueError:  # half a line, or a GPU that does not tell
        return None


def _ask(bus: str, fields: tuple[str, ...]) -> list[str] | None:
    """What `nvidia-smi` says of a GPU once; None where it does not."""
    try:
        done = subprocess.run(
            _command(bus, fields), capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [part.strip() for part in done.stdout.split(",")] if done.returncode == 0 else None


def _command(bus: str, fields: tuple[str, ...]) -> list[str]:
    query = f"--query-gpu={','.join(fields)}"
    return ["nvidia-smi", f"--id={bus}", query, "--format=csv,noheader,nounits"]
