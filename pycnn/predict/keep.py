"""Predictions that were made before, from the disk cache of compiled kernels."""

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pycnn.predict.gpus import Gpu
from pycnn.predict.instrument import Access
from pycnn.predict.model import Prediction
from pycnn.predict.traffic import Footprint, Pattern
from pycnn.runtime import cache
from pycnn.runtime.occupancy import Occupancy
from pycnn.runtime.plan import Launch


def kept(
    launch: Launch,
    digest: str,
    shapes: Sequence[str],
    gpu: Gpu,
    most: int,
    make: Callable[[], Prediction],
) -> Prediction:
    """A launch's prediction; made and kept if nothing it depends on has been met before.

    Parameters
    ----------
    launch : Launch
    digest : str
        Of its kernel's machine code.
    shapes : sequence of str
        What there is to say of the arrays, where they begin too.
    gpu : Gpu
    most : int
        Blocks that are run.
    make : callable
    """
    arguments = [said(a) for a in launch.args]
    key = cache.key(
        "prediction", _own(), digest, repr(gpu), str(most),
        repr((launch.grid, launch.block, launch.shared)), *shapes, "", *arguments,
    )  # fmt: skip

    def build(path: Path) -> None:
        path.write_text(json.dumps(asdict(make())))

    return _read(cache.get_or_build(key, ".json", build).read_text())


def _read(text: str) -> Prediction:
    found = json.loads(text)
    patterns = [Pattern(**{**p, "access": Access(**p["access"])}) for p in found.pop("patterns")]
    occupancy, footprint = Occupancy(**found.pop("occupancy")), Footprint(**found.pop("bytes"))
    for name in ("grid", "block"):
        found[name] = tuple(found[name])
    return Prediction(**found, patterns=patterns, occupancy=occupancy, bytes=footprint)


def said(argument: object) -> str:
    """An argument of a launch in words, two of which are the same if what they say is."""
    if isinstance(argument, np.generic | np.ndarray):  # a struct's fields may be cut in its repr
        return f"{argument.dtype.descr} {argument.tobytes().hex()}"
    return repr(argument)


#: Modules that only show predictions, or have nothing to do with them.
_OTHERS = ("beside", "checked", "command", "html", "profile", "scaling", "triton")


@functools.cache
def _own() -> str:
    """Of the model itself: another one predicts otherwise."""
    return of_sources(p for p in Path(__file__).parent.glob("*.py") if p.stem not in _OTHERS)


def of_sources(paths: Iterable[Path]) -> str:
    """Hash of what modules compute, the same whatever their comments and docstrings say."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(statements := getattr(node, "body", None), list):
                node.body = [s for s in statements if not _only_says(s)]  # type: ignore[attr-defined]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def _only_says(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
