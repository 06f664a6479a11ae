"""``pycnn info``: what works on this machine, and what is missing and how to get it."""

import argparse
import json
import platform
from dataclasses import asdict
from typing import Any

import numpy as np

import pycnn
from pycnn import config
from pycnn.emulator import host
from pycnn.runtime import cache, nvrtc
from pycnn.runtime.backends import backends
from pycnn.runtime.extras import MissingExtra, import_extra


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
        "nvrtc": None,
        "cupy": None,
    }
    missing = {}
    optional = {"compiler": lambda: host.compiler().version, "nvrtc": nvrtc.version, "cupy": _cupy}
    for name, ask in optional.items():
        try:
            versions[name] = ask()
        except (MissingExtra, OSError) as error:
            missing[name] = str(error)
    entries, size = cache.usage()
    return {
        "versions": versions,
        "missing": missing,
        "backends": [asdict(status) for status in backends()],
        "cache": {"path": str(cache.directory()), "entries": entries, "bytes": size},
        "unknown_variables": config.unknown(),
    }


def _cupy() -> str:
    version: str = import_extra("cupy", "cuda13", "a GPU").__version__
    return version


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("info", help="what works on this machine and what is missing")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    found = collect()
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    for name, version in found["versions"].items():
        print(f"{name:10} {version or 'missing: ' + found['missing'][name]}")
    stored = found["cache"]
    print(f"{'cache':10} {stored['path']}: {stored['entries']} entries, "
          f"{stored['bytes'] / 2**20:.1f} MiB")  # fmt: skip
    print("\nbackends")
    for status in found["backends"]:
        available = "yes" if status["available"] else "no"
        print(f"  {status['name']:10} {available:4} {status['detail']}")
    for name in found["unknown_variables"]:
        print(f"\nwarning: the environment variable {name} means nothing to pycnn: misspelt?")
    return 0
