"""Cases of the transposed convolutions, by number of spatial axes."""

from typing import Any

from pycnn.testing.case import Case, Shape
from pycnn.testing.conv_cases import standard


def case(
    name: str, x: Shape, weight: Shape, *more: str, y: Shape | None = None, **settings: Any
) -> Case:
    """A case; `more` names operands with a value a filter, `y` is the shape of a residual."""
    filters = weight[1] * settings.get("groups", 1)
    shapes = {"x": x, "weight": weight} | dict.fromkeys(more, (filters,))
    if y is not None:
        shapes["residual"] = y
    return Case(name, shapes, settings)


PLANE_CASES = (
    case("dcgan", (2, 5, 3, 4), (5, 7, 4, 4), "bias", stride=2, padding=1),
    case(
        "output padding",
        (2, 6, 4, 3),
        (6, 2, 3, 2),
        "bias",
        stride=(3, 2),
        padding=(1, 0),
        output_padding=(2, 1),
        groups=3,
    ),
    case(
        "dilation",
        (1, 4, 3, 5),
        (4, 3, 2, 3),
        stride=(1, 2),
        dilation=(3, 2),
        padding=(2, 1),
        output_padding=(2, 1),
        groups=2,
    ),
    case("unbatched", (3, 4, 5), (3, 2, 3, 3), "bias", padding=((1, 0), (0, 2))),
    case("empty batch", (0, 3, 4, 5), (3, 2, 3, 3), "bias"),
    case("1x1", (2, 5, 3, 4), (5, 3, 1, 1), "bias"),
    case("gaps", (1, 3, 4, 3), (3, 2, 1, 2), "bias", stride=3),
    case("nhwc", (2, 4, 3, 5), (5, 4, 3, 3), "bias", stride=2, padding=1, layout="NHWC"),
    case(
        "epilogue",
        (1, 3, 4, 5),
        (3, 4, 3, 3),
        "bias",
        "scale",
        "shift",
        y=(1, 4, 8, 10),
        stride=2,
        padding=1,
        output_padding=1,
        activation="leaky_relu",
        negative_slope=0.2,
    ),
    standard("dcgan 16x16", (1, 64, 8, 8), (64, 32, 4, 4), stride=2, padding=1),
)

LINE_CASES = (
    case("strided", (2, 3, 5), (3, 4, 4), "bias", stride=2, padding=1, output_padding=1),
    case("groups", (3, 4, 6), (4, 3, 3), dilation=2, padding=((1, 2),), groups=2),
    case("unbatched", (3, 5), (3, 2, 3), "bias"),
    case("channels last", (2, 6, 3), (3, 5, 3), "bias", stride=3, layout="NHWC"),
    case("activation", (1, 3, 5), (3, 2, 3), "shift", activation="relu"),
    standard("wave", (4, 64, 64), (64, 32, 4), stride=2, padding=1),
)

VOLUME_CASES = (
    case("strided", (1, 3, 2, 4, 3), (3, 4, 3, 2, 3), "bias", stride=(2, 1, 3), padding=1),
    case(
        "groups",
        (2, 4, 3, 2, 3),
        (4, 2, 2, 3, 1),
        stride=2,
        dilation=(1, 2, 1),
        output_padding=(1, 0, 1),
        groups=2,
    ),
    case("unbatched", (2, 3, 2, 3), (2, 3, 2, 2, 2), "bias", padding=1),
    case("channels last", (1, 2, 3, 4, 3), (3, 5, 2, 2, 2), "bias", stride=2, layout="NHWC"),
    case(
        "epilogue",
        (1, 2, 2, 3, 2),
        (2, 3, 2, 2, 2),
        "scale",
        y=(1, 3, 3, 4, 3),
        activation="sigmoid",
    ),
    standard("volume", (1, 16, 4, 8, 8), (16, 8, 4, 4, 4), stride=2, padding=1),
)

TRANSPOSED_CASES = {1: LINE_CASES, 2: PLANE_CASES, 3: VOLUME_CASES}
