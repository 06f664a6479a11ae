"""What a measurement depends on: processor, GPU, versions, commit, command, date."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pycnn
from pycnn.reference.cpu._blas import cores
from pycnn.runtime.measured import cpu_model

#: Packages whose version may explain a difference.
PACKAGES = (
    "numpy", "cupy-cuda12x", "cupy-cuda13x", "torch", "onnxruntime", "onnx",
    "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "nvidia-cublas", "nvidia-cublas-cu12",
    "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "ml_dtypes", "llvmlite",
)  # fmt: skip


def environment(command: str) -> dict[str, Any]:
    """Everything that is written beside results; `command` reruns them."""
    return {
        "date": now(),
        "command": command,
        "pycnn": pycnn.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu(),
        "gpu": gpu(),
        "versions": versions(),
        "backends": {b.name: b.detail for b in pycnn.backends() if b.available},
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("PYCNN_") and name not in _PLACES
        },
    }


#: Where files lie, which changes nothing that is measured, and is nobody's business.
_PLACES = ("PYCNN_CACHE_DIR", "PYCNN_TUNED")


def now() -> str:
    """The time, in UTC: texts that sort as the times do."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cpu() -> dict[str, Any]:
    """Model, cores that this process may use, load, threads of BLAS if they are set."""
    return {
        "model": cpu_model(),
        "cores": cores(),
        "load": load(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS"),
    }


def load() -> float:
    """Threads that were running or waiting for a core, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def free_memory() -> int | None:
    """Bytes that this machine can still give; None where it does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        return 1024 * int(text.partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return None


def busy(about: Mapping[str, Any]) -> str:
    """Why the times of a run on the CPU are not to be relied on; empty if they are."""
    processor = about.get("cpu")
    if not isinstance(processor, dict) or not {"cores", "load"} <= processor.keys():
        return ""
    cores, load = processor["cores"], processor["load"]
    if not isinstance(cores, int) or not isinstance(load, int | float):
        return ""
    # Our own threads fill all cores.
    return f"load {load} on {cores} cores" if load > cores + 0.5 else ""


def gpu() -> dict[str, Any] | None:
    """Name, architecture, memory, driver, clock and power of the current GPU; None without one."""
    if not {b.name: b.available for b in pycnn.backends()}["cuda"]:
        return None
    import cupy

    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    about = {
        "name": properties["name"].decode(),
        "pci_bus": cupy.cuda.runtime.deviceGetPCIBusId(device.id),
        "arch": f"sm_{device.compute_capability}",
        "multiprocessors": properties["multiProcessorCount"],
        "memory_bytes": properties["totalGlobalMem"],
        "l2_bytes": properties["l2CacheSize"],
        "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
    }
    return {**about, **_nvidia_smi(about["pci_bus"])}


def _nvidia_smi(bus: str) -> dict[str, str]:
    """Driver, clocks and power limit as the driver's own tool reports them, where it is there."""
    fields = ("driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit")
    line = _output(
        "nvidia-smi", f"--id={bus}", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"
    )
    values = [value.strip() for value in line.split(",")] if line else []
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else {}


def versions() -> dict[str, str]:
    """Of every package in `PACKAGES` that is installed."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """Commit of the checkout that runs, with ``-dirty`` if files differ; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    head = _output("git", "-C", str(root), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return head + ("-dirty" if changed else "") if head else None


def _output(*command: str) -> str:
    """What a tool prints; nothing where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
