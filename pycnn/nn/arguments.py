"""What a layer was made with: kept, and printed."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np


def fixed(value: Any) -> Any:
    """A setting that nobody can change afterwards: lists and arrays as tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(fixed, value)) if isinstance(value, list | tuple) else value


def arguments_text(layer: object, values: Mapping[str, Any]) -> str:
    """For `Layer.describe`: those of `values` that its constructor does not have as defaults."""
    words = []
    for name, parameter in inspect.signature(type(layer)).parameters.items():
        if name not in values:
            continue
        if parameter.default is inspect.Parameter.empty:
            words.append(repr(values[name]))
        elif values[name] != parameter.default:
            words.append(f"{name}={values[name]!r}")
    return ", ".join(words)
