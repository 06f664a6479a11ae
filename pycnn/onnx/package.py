"""The package onnx, an extra: imported where a model is read, never by ``import pycnn``."""

import functools
from typing import Any

from pycnn.runtime.extras import import_extra


@functools.cache
def package(module: str = "onnx") -> Any:
    """The module of that name of the package onnx.

    Examples
    --------
    >>> package("onnx.helper").__name__
    'onnx.helper'
    """
    return import_extra(module, "onnx", "an ONNX model")
