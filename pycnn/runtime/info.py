"""``pycnn info``: what works on this machine, and what is missing and how to get it."""

import argparse
import json
import platform
from dataclasses import asdict
from importlib import import_module
from typing import Any

import numpy as np

import pycnn
from pycnn import config
from pycnn.emulator import host
from pycnn.runtime import cache, nvrtc, probe
from pycnn.runtime.backends import backends
from pycnn.runtime.extras import MissingExtra


def collect() -> dict[str, Any]:
    """Versions, backends and cache of this machine, ready for JSON.

    Returns
    -------
    dict
        A missing component is None in ``versions``, and has its reason in ``missing``.

    Examples
    --------
    >>> collect()["versions"]["pycnn"] == pycnn.__version__
    True
    """
    versions: dict[str, str | None] = {
        "pycnn": pycnn.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "compiler": None,
        "driver": None,
        "nvrtc": None,
        "cupy": None,
    }
    missing = {}
    optional = {
        "compiler": lambda: host.compiler().version,
        "driver": _driver,
        "nvrtc": nvrtc.version,
        "cupy": _cupy,
    }
    for name, ask in optional.items():
        try:
            versions[name] = ask()
        except (MissingExtra, OSError, ValueError) as error:
            missing[name] = str(error)
    if versions["cupy"]:
        lacking = probe.missing_parts(import_module("cupy"))
        versions |= {part: None if part in lacking else "yes" for part in probe.PARTS}
        missing |= lacking
    return {
        "versions": versions,
        "missing": missing,
        "backends": [asdict(status) for status in backends()],
        "cache": _cache(),
        "unknown_variables": config.unknown(),
    }


def _cache() -> dict[str, Any]:
    """Path and size, and what is wrong with the folder, if anything is."""
    try:
        (entries, size), path = cache.usage(), str(cache.directory())
        return {"path": path, "entries": entries, "bytes": size, "problem": cache.problem()}
    except (OSError, ValueError) as error:
        return {"path": None, "entries": 0, "bytes": 0, "problem": str(error)}


def _cupy() -> str:
    version: str = probe.import_cupy().__version__
    return version


def _driver() -> str:
    version = probe.driver_version()
    if not version:
        raise MissingExtra("no driver of an NVIDIA GPU")
    return f"for CUDA {probe.text(version)}"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("info", help="what works on this machine and what is missing")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    report = collect()
    if arguments.json:
        print(json.dumps(report, indent=1))
        return 0
    for name, version in report["versions"].items():
        print(f"{name:10} {version or 'missing: ' + report['missing'][name]}")
    stored = report["cache"]
    print(f"{'cache':10} {stored['path']}: {stored['entries']} entries, "
          f"{stored['bytes'] / 2**20:.1f} MiB")  # fmt: skip
    if stored["problem"]:
        print(f"{'':10} cannot be used: {stored['problem']}")
    print("\nbackends")
    for status in report["backends"]:
        available = "yes" if status["available"] else "no"
        print(f"  {status['name']:10} {available:4} {status['detail']}")
    for name in report["unknown_variables"]:
        print(f"\nwarning: the environment variable {name} means nothing to pycnn: misspelt?")
    return 0
