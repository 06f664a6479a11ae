"""Cases of the convolutions: shapes and settings, by number of spatial axes."""

from typing import Any

from pycnn.testing.case import Case, Shape


def conv(
    name: str, x: Shape, weight: Shape, *more: str, y: Shape | None = None, **settings: Any
) -> Case:
    """A case; `more` names operands with a value a filter, `y` is the shape of a residual."""
    shapes = {"x": x, "weight": weight} | dict.fromkeys(more, (weight[0],))
    if y is not None:
        shapes["residual"] = y
    return Case(name, shapes, settings)


def standard(name: str, x: Shape, weight: Shape, **settings: Any) -> Case:
    """A real layer."""
    return Case(name, {"x": x, "weight": weight}, settings, standard=True)


CONV2D_CASES = (
    conv("rectangular filter", (2, 3, 7, 9), (5, 3, 3, 2), "bias", padding=1),
    conv(
        "groups, strides, dilation",
        (3, 6, 9, 7),
        (9, 2, 2, 4),
        "bias",
        stride=(3, 2),
        padding=1,
        dilation=(2, 1),
        groups=3,
    ),
    conv("unbatched", (3, 6, 5), (4, 3, 3, 3), padding=((1, 0), (0, 2)), stride=(2, 1)),
    conv("empty batch", (0, 4, 6, 7), (6, 4, 3, 3), "bias"),
    conv("1x1", (3, 11, 5, 7), (13, 11, 1, 1), "bias"),
    conv("depthwise", (2, 7, 10, 9), (7, 1, 3, 3), "bias", padding=1, groups=7),
    conv("one window", (2, 3, 4, 5), (3, 3, 4, 5), "bias"),
    conv("same", (1, 2, 5, 6), (3, 2, 2, 3), padding="same", dilation=2),
    conv("same of one row", (1, 2, 5, 6), (3, 2, 1, 3), padding="same"),
    conv("same_upper", (2, 2, 8, 7), (3, 2, 3, 3), padding="same_upper", stride=2),
    conv("same_lower", (2, 2, 8, 7), (3, 2, 3, 4), padding="same_lower", stride=(2, 3)),
    conv("reflect", (2, 3, 5, 6), (4, 3, 3, 3), padding=(2, 3), padding_mode="reflect"),
    conv(
        "replicate",
        (1, 4, 4, 5),
        (6, 2, 3, 3),
        "bias",
        padding=((3, 4), (5, 0)),
        stride=(2, 1),
        groups=2,
        padding_mode="replicate",
    ),
    conv("circular", (2, 2, 4, 3), (5, 2, 3, 2), padding=(4, 3), padding_mode="circular"),
    conv("nhwc", (2, 7, 6, 5), (9, 5, 3, 3), "bias", padding=1, layout="NHWC"),
    conv(
        "nhwc depthwise",
        (2, 8, 7, 6),
        (6, 1, 3, 3),
        padding=1,
        stride=2,
        groups=6,
        layout="NHWC",
    ),
    conv(
        "folded batch norm",
        (2, 4, 6, 7),
        (7, 4, 3, 3),
        "bias",
        "scale",
        "shift",
        y=(2, 7, 6, 7),
        padding=1,
        activation="relu",
    ),
    conv(
        "nhwc epilogue",
        (2, 5, 6, 4),
        (7, 4, 3, 3),
        "scale",
        y=(2, 5, 6, 7),
        padding=1,
        activation="silu",
        layout="NHWC",
    ),
    conv("relu6", (1, 3, 5, 4), (4, 3, 1, 1), "shift", activation="relu6"),
    conv(
        "leaky relu",
        (1, 3, 5, 4),
        (4, 3, 2, 2),
        "bias",
        activation="leaky_relu",
        negative_slope=0.3,
    ),
    conv("sigmoid", (1, 3, 5, 4), (2, 3, 2, 2), activation="sigmoid"),
    standard("mobilenet", (1, 128, 56, 56), (128, 1, 3, 3), padding=1, groups=128),
    standard("resnet50", (1, 64, 28, 28), (32, 64, 3, 3), padding=1),
)

CONV1D_CASES = (
    conv("padded", (2, 3, 11), (5, 3, 4), "bias", padding=((2, 1),), stride=2),
    conv("groups", (3, 6, 9), (4, 3, 3), dilation=2, groups=2),
    conv("unbatched", (3, 8), (4, 3, 3), "bias", padding="same"),
    conv("reflect", (2, 2, 6), (3, 2, 3), padding=2, padding_mode="reflect"),
    conv("channels last", (2, 9, 3), (7, 3, 3), "bias", padding=1, layout="NHWC"),
    conv("epilogue", (1, 3, 8), (5, 3, 3), "scale", y=(1, 5, 6), activation="relu"),
    standard("wave", (4, 32, 256), (32, 32, 9), padding=4),
)

CONV3D_CASES = (
    conv("rectangular filter", (2, 3, 4, 5, 6), (4, 3, 3, 1, 2), "bias", padding=(1, 0, 1)),
    conv(
        "groups, strides, dilation",
        (1, 4, 7, 5, 6),
        (6, 2, 3, 2, 3),
        stride=(2, 1, 3),
        padding=((1, 2), (0, 1), (1, 1)),
        dilation=(2, 1, 1),
        groups=2,
    ),
    conv("unbatched", (2, 3, 4, 5), (3, 2, 2, 2, 2), "bias", padding="same"),
    conv("cube", (1, 2, 4, 3, 5), (5, 2, 3, 3, 3), padding=1),
    conv("replicate", (1, 2, 3, 4, 3), (2, 2, 2, 3, 2), padding=2, padding_mode="replicate"),
    conv("circular", (1, 2, 3, 2, 4), (2, 2, 2, 2, 3), padding=2, padding_mode="circular"),
    conv("channels last", (2, 3, 4, 5, 3), (4, 3, 2, 3, 2), "bias", layout="NHWC"),
    conv(
        "epilogue",
        (1, 3, 3, 4, 2),
        (4, 3, 2, 2, 2),
        "shift",
        y=(1, 4, 2, 3, 1),
        activation="relu",
    ),
    standard("c3d", (1, 16, 8, 14, 14), (16, 16, 3, 3, 3), padding=1),
)

CONV_CASES = {1: CONV1D_CASES, 2: CONV2D_CASES, 3: CONV3D_CASES}
