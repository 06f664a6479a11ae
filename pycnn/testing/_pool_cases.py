"""Cases of pooling: small ones with every setting, ragged, and real layers."""

from collections.abc import Mapping
from typing import Any

from pycnn.testing.case import Case, Shape

#: Of windows that overlap: what two threads or strips both read comes from L1 the second time.
OVERLAPPING = 1.25


def channels_last(shape: Shape) -> Shape:
    """(N, C, ...) as (N, ..., C)."""
    return (shape[0], *shape[2:], shape[1])


def case(name: str, shape: Shape, standard: bool = False, **settings: Any) -> Case:
    """One operand; its shape is given with the channels first, whatever the layout."""
    if settings.get("layout") == "NHWC":
        shape = channels_last(shape)
    return Case(name, {"x": shape}, settings, standard)


#: (N, C) and spatial extents, of the axes that there are.
SMALL = {1: (2, 3, 11), 2: (2, 3, 11, 14), 3: (2, 3, 5, 6, 7)}
WIDE = {1: (3, 37, 9), 2: (2, 37, 7, 6), 3: (2, 21, 3, 5, 4)}

#: Whole vectors of channels, and windows that go by them.
VECTORS = (2, 8, 7, 9)
HALVING: dict[str, Any] = {"stride": 2, "layout": "NHWC"}

#: Layers, AlexNet's and C3D's among them, and their windows.
LAYER = {1: (2, 32, 1023), 2: (1, 32, 55, 55), 3: (1, 16, 8, 28, 28)}
WINDOW = {1: 3, 2: 3, 3: 2}

#: Layers that adaptive windows divide evenly.
EVEN = {1: (2, 32, 1024), 2: (1, 32, 56, 56), 3: (1, 8, 14, 28, 28)}


def sliding(axes: int, **extra: Mapping[str, Any]) -> tuple[Case, ...]:
    """Cases of a sliding window that every such operation has; `extra` ones by name.

    Parameters
    ----------
    axes : int
    **extra
        Settings of further cases on the small shape.
    """
    small, wide, layer = SMALL[axes], WIDE[axes], LAYER[axes]
    cases = [
        case("halves", small, kernel_size=2),
        case("overlap", small, kernel_size=3, stride=2, ceil_mode=True),
        case("unbatched", small[1:], kernel_size=3, stride=1),
        case("channels last", wide, kernel_size=2, stride=1, layout="NHWC"),
    ]
    if axes == 2:  # what has nothing to do with the number of axes
        unbatched = {"x": (*small[2:], small[1])}
        settings = {"kernel_size": 2, "padding": 1, "layout": "NHWC"}
        cases.append(Case("unbatched, channels last", unbatched, settings))
        cases.append(case("empty", (0, *small[1:]), kernel_size=2))
        cases += [case(f"vectors, {k}", VECTORS, kernel_size=k, **HALVING) for k in (2, 3)]
    if axes > 1:
        along = {"kernel_size": (3, 2, 4), "stride": (1, 3, 2), "padding": (1, 0, 2)}
        each: dict[str, Any] = {name: values[:axes] for name, values in along.items()}
        cases.append(case("all axes different", small, **each))
    cases += [case(name.replace("_", " "), small, **also) for name, also in extra.items()]
    standard = {"kernel_size": WINDOW[axes], "stride": 2}
    cases.append(case("layer", layer, True, **standard))
    cases.append(case("layer, NHWC", layer, True, layout="NHWC", **standard))
    return tuple(cases)


def adaptive(axes: int) -> tuple[Case, ...]:
    """Cases of adaptive windows."""
    small, wide, layer = SMALL[axes], WIDE[axes], EVEN[axes]
    uneven = (4, 3, 5)[:axes]
    cases = [
        case("uneven", small, output_size=uneven),
        case("even", (2, 3, *(12, 6, 8)[-axes:]), output_size=(4, 3, 2)[-axes:]),
        case("more than there are", small, output_size=(*(None, 9)[: axes - 1], 16)),
        case("global", wide, output_size=1),
        case("channels last", wide, output_size=2, layout="NHWC"),
    ]
    if axes == 2:  # what has nothing to do with the number of axes
        cases.append(case("unbatched, one number", small[1:], output_size=3))
        cases.append(case("global, channels last", wide, output_size=1, layout="NHWC"))
        cases.append(case("empty", (0, *small[1:]), output_size=2))
    cases.append(case("layer", layer, True, output_size=7))
    cases.append(case("layer, NHWC", layer, True, output_size=7, layout="NHWC"))
    return tuple(cases)


def over_everything() -> tuple[Case, ...]:
    """Cases of global pooling, with any number of axes."""
    return (
        case("rows", (2, 3, 11)),
        case("maps", (2, 37, 7, 5)),
        case("large maps", (2, 3, 43, 50)),
        case("volumes", (2, 3, 3, 5, 4)),
        case("one element", (2, 3, 1, 1)),
        case("channels last", (2, 37, 7, 5), layout="NHWC"),
        case("vectors of channels", (2, 24, 7, 5), layout="NHWC"),
        case("volumes, channels last", (2, 5, 3, 5, 4), layout="NHWC"),
        case("empty", (0, 3, 7, 5)),
        case("resnet50 layer", (8, 256, 7, 7), True),
        case("resnet50 layer, NHWC", (8, 256, 7, 7), True, layout="NHWC"),
        case("large layer", (1, 16, 56, 56), True),
    )
