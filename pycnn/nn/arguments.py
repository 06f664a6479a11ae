"""What a layer was made with: kept, and printed."""

import inspect
from typing import Any

import numpy as np

#: Attributes that are set on a layer that is made, and what they are before.
LATER = {"activation": None, "algo": "auto"}


def fixed(value: Any) -> Any:
    """A setting that nobody can change afterwards: lists and arrays as tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(fixed, value)) if isinstance(value, list | tuple) else value


def bound(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a class by name, defaults among them; an error shows its signature."""
    signature = inspect.signature(kind)
    try:
        arguments = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{kind.__name__}{signature}: {error}") from None
    arguments.apply_defaults()
    return arguments.arguments


def arguments_text(layer: Any, **known: Any) -> str:
    """For `Layer.describe`: what the constructor of a layer got, apart from defaults.

    That is in `known`, among its `settings`, or an attribute of the same name. Behind it stands
    what was chosen later: the activation that was fused in, and the algorithm.
    """
    arrays = (*layer.params.values(), *layer.buffers.values())
    known = {
        "bias": "bias" in layer.params,
        "affine": bool(layer.params),
        **({"dtype": arrays[0].dtype.name} if arrays else {}),
        **getattr(layer, "settings", {}),
        **known,
    }
    words: list[str] = []
    arguments = inspect.signature(type(layer)).parameters
    for name, parameter in arguments.items():
        value = known[name] if name in known else getattr(layer, name, None)
        if parameter.kind is parameter.VAR_POSITIONAL:
            words += map(repr, value or ())
        elif value is None or hasattr(value, "shape"):  # not kept, or an array
            continue
        elif parameter.default is parameter.empty:
            words.append(repr(value))
        elif value != parameter.default:
            words.append(f"{name}={value!r}")
    for name, usual in LATER.items():
        if name not in arguments and (value := getattr(layer, name, usual)) != usual:
            words.append(f"{name}={value!r}")
    return ", ".join(words)
