"""What pycnn uses of CuPy is there in the CuPy that is installed; needs no GPU."""

import ast
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra cuda13, make test-cupy)")

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    [*ROOT.glob("pycnn/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), ROOT / "tests" / "conftest.py"]
)

#: What holds the module besides its own name; ``library(x)`` is it or NumPy.
MODULES = ("cupy", "xp", "self._cupy", "library()", "sys.modules[]")

#: Of objects that CuPy made: what pycnn uses of them, by their class.
MEMBERS = {
    "ndarray": ("data", "device", "dtype", "fill", "flags", "get", "nbytes", "shape", "strides"),
    "cuda.MemoryPointer": ("ptr", "device_id", "__add__"),
    "cuda.Device": (
        "attributes",
        "compute_capability",
        "id",
        "synchronize",
        "__enter__",
        "__exit__",
    ),
    "cuda.Event": ("record", "synchronize"),
    "cuda.Stream": ("synchronize",),
    "RawModule": ("get_function",),
    "RawKernel": ("__call__", "max_dynamic_shared_size_bytes", "shared_size_bytes"),
}


def dotted(node: ast.AST) -> str | None:
    """``a.b().c[]`` of an expression made of names, calls and indices."""
    if isinstance(node, ast.Name):
        return node.id
    ending = {ast.Attribute: "." + getattr(node, "attr", ""), ast.Call: "()", ast.Subscript: "[]"}
    inner = getattr(node, "func", None) or getattr(node, "value", None)
    before = dotted(inner) if inner is not None and type(node) in ending else None
    return before + ending[type(node)] if before else None


def name_in_cupy(node: ast.AST) -> str | None:
    """What comes behind the module in an expression, up to a call of it."""
    text = dotted(node) if isinstance(node, ast.Attribute) else None
    for module in MODULES:
        if text and text.startswith(module + ".") and "(" not in text[len(module) :]:
            return text[len(module) + 1 :]
    return None


def uses(text: str) -> Iterator[tuple[str, ast.Call | None]]:
    """Every name of CuPy in a source, with the call of it if it is called."""
    for node in ast.walk(ast.parse(text)):
        if name := name_in_cupy(node):
            yield name, None
        if isinstance(node, ast.Call) and (name := name_in_cupy(node.func)):
            yield name, node


def attribute(name: str) -> Any:
    return functools.reduce(getattr, name.split("."), cupy)


def bind(name: str, call: ast.Call) -> bool:
    """Hold a call against the signature; False where compiled code tells none."""
    try:
        signature = inspect.signature(attribute(name))
    except (ValueError, TypeError):
        return False
    if not any(isinstance(a, ast.Starred) for a in call.args):
        keywords = {k.arg: None for k in call.keywords if k.arg}
        signature.bind(*[None] * len(call.args), **keywords)
    return True


def test_every_name_exists_and_takes_what_it_is_given():
    found = {(name, call) for file in FILES for name, call in uses(file.read_text())}
    names = {name for name, _ in found}
    assert {"ndarray", "RawModule", "cuda.runtime.getDevice", "zeros_like"} <= names
    bound = {name for name, call in found if attribute(name) and call and bind(name, call)}
    assert {"asarray", "empty", "zeros_like"} <= bound


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_exists(name):
    kind = attribute(name)
    assert [m for m in MEMBERS[name] if not hasattr(kind, m)] == []


def test_the_check_sees_what_is_not_there():
    assert ("cuda.nothing", None) in uses("self._cupy.cuda.nothing")
    with pytest.raises(AttributeError):
        attribute("cuda.nothing")
    call = next(call for _, call in uses("library(x).zeros_like(x, sort=1)") if call)
    with pytest.raises(TypeError):
        bind("zeros_like", call)
