"""Names of a package that are imported when they are first asked for (PEP 562).

The names stand once, in the package's ``__init__.pyi``, where type checkers look as well.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` of `package`, whose ``__init__`` is `file`.

    Examples
    --------
    >>> import pycnn.ops
    >>> "conv2d" in pycnn.ops.__all__
    True
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    modules = {
        name.name: statement.module
        for statement in stub.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for name in statement.names
    }

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(modules[name])
        for other, place in modules.items():  # all it has: one may be called like the module
            if place == modules[name]:
                setattr(sys.modules[package], other, getattr(module, other))
        return getattr(module, name)

    return get, sorted(modules)
