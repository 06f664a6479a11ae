"""Networks by name: arguments checked before any weight is drawn."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pycnn import nn
from pycnn.define.trace import tracing
from pycnn.define.validate import choice, integer
from pycnn.dtypes import FLOATING
from pycnn.models.arguments import check
from pycnn.models.layout import to_channels_last
from pycnn.models.table import MODELS, ModelEntry
from pycnn.nn.arguments import fixed
from pycnn.runtime.text import did_you_mean

#: Beyond it no least extent is looked for.
LARGEST = 1024


def create(
    name: str,
    *,
    input_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    dtype: str = "float32",
    layout: str = "NCHW",
    **arguments: Any,
) -> nn.Sequential:
    """A network of `MODELS`, with new weights.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    input_size : int or (height, width), optional
        Extent of the input; the channels are those of the default input. For other channels,
        give `input_shape` instead.
    seed : int, default 0
        The first weights are a function of it alone.
    dtype : str, default "float32"
        Of weights and inputs; the first weights are those of float32, rounded.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Of what the model takes; `input_shape` is (channels, height, width) in any. The same weights
        give the same result.
    **arguments
        Those of the builder: mostly `input_shape`, `classes` and `width`.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If there is no such network or argument, an argument is out of range, a layer knows no other
        layout, or the input is too small: names the least extent that works. Nothing has been
        computed then.

    Examples
    --------
    >>> model = create("resnet18", classes=10, input_size=64, width=0.25)
    >>> model.output_shape((3, 64, 64))
    (10,)
    >>> create("vgg16", input_size=16)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: vgg16: input_shape=(3, 16, 16) is too small (layer stage5.pool, \
MaxPool2d(2): ...); the least extent that works is 32
    """
    if name not in MODELS:
        near = did_you_mean(name, MODELS)
        raise ValueError(f"name={name!r}: allowed are {', '.join(MODELS)}{near}")
    entry = MODELS[name]
    arguments = {key: fixed(value) for key, value in arguments.items()}
    choice("dtype", dtype, FLOATING)
    choice("layout", layout, ("NCHW", "NHWC"))
    _check_names(name, entry, arguments)
    if input_size is not None:
        arguments["input_shape"] = _sized(name, entry, input_size, arguments)
    arguments.setdefault("input_shape", entry.input_shape)
    _check_values(name, entry, arguments)
    _check_fit(name, entry.builder, arguments)
    with nn.seeded(integer("seed", seed, 0, None)):
        model = entry.builder(**arguments)
    if layout != "NCHW":
        to_channels_last(model)
        arguments["layout"] = layout
    if dtype != "float32":
        model.to(dtype)
        arguments["dtype"] = dtype
    model.recipe = {"name": name, "arguments": arguments}
    return model


def _check_names(name: str, entry: ModelEntry, arguments: Mapping[str, Any]) -> None:
    allowed = [
        *inspect.signature(entry.builder).parameters,
        "input_size",
        "seed",
        "dtype",
        "layout",
    ]
    for argument in arguments:
        if argument not in allowed:
            raise ValueError(
                f"{name} has no argument {argument!r}: allowed are {', '.join(allowed)}"
            )


def _sized(
    name: str, entry: ModelEntry, input_size: int | tuple[int, int], arguments: Mapping[str, Any]
) -> tuple[int, ...]:
    if "input_shape" in arguments:
        raise ValueError(f"{name}: input_shape and input_size are given; allowed: one of them")
    if len(entry.input_shape) != 3:
        raise ValueError(f"{name}: input_size={input_size}, but its input is no image")
    extents = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
    return (entry.input_shape[0], *extents)


def _check_values(name: str, entry: ModelEntry, arguments: Mapping[str, Any]) -> None:
    shape, classes = arguments["input_shape"], arguments.get("classes", 1)
    width = arguments.get("width", 1.0)
    axes = len(entry.input_shape)
    if (
        not isinstance(shape, Sequence)
        or len(shape) != axes
        or not all(_is_count(extent) for extent in shape)
    ):
        raise ValueError(f"{name}: input_shape={shape!r}: allowed are {axes} ints from 1 on")
    if not _is_count(classes):
        raise ValueError(f"{name}: classes={classes!r}: allowed are ints from 1 on")
    if not (isinstance(width, int | float) and 0 < width < math.inf):
        raise ValueError(f"{name}: width={width!r}: allowed are numbers above 0")
    check(name, arguments)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_fit(name: str, builder: Callable[..., nn.Layer], arguments: Mapping[str, Any]) -> None:
    """Trace the network with placeholders for weights and input."""
    try:
        _trace(builder, arguments)
    except nn.LayerError as error:
        least = _least_extent(builder, arguments)
        if least is None:
            raise ValueError(f"{name}: {error}") from error
        raise ValueError(
            f"{name}: input_shape={arguments['input_shape']} is too small ({error}); "
            f"the least extent that works is {least}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _trace(builder: Callable[..., nn.Layer], arguments: Mapping[str, Any]) -> None:
    with tracing():
        builder(**arguments).output_shape(arguments["input_shape"])


def _least_extent(builder: Callable[..., nn.Layer], arguments: Mapping[str, Any]) -> int | None:
    """Of square inputs; None if the extent is not what is wrong."""
    channels, *extents = arguments["input_shape"]

    def works(extent: int) -> bool:
        try:
            _trace(builder, {**arguments, "input_shape": (channels, extent, extent)})
        except ValueError:
            return False
        return True

    low = min(extents, default=LARGEST)  # does not work; high does
    high = 2 * low
    while high <= LARGEST and not works(high):
        low, high = high, 2 * high
    if high > LARGEST:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high
