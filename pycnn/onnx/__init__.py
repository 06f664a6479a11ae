"""ONNX models on pycnn's kernels: `load` reads one, `backend` is onnx's own interface.

Needs the extra ``onnx``: reading a model imports that package, ``import pycnn.onnx`` does not.
"""

import importlib
from typing import Any

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.session import Session, load

__all__ = ["OnnxError", "Session", "backend", "export", "load"]


def __getattr__(name: str) -> Any:
    """`backend`, whose classes derive from those of the package onnx, and `export`."""
    if name == "backend":
        return importlib.import_module("pycnn.onnx.backend")
    if name == "export":
        return importlib.import_module("pycnn.onnx.write").export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
