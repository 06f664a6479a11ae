"""U-Net: down to see what is there, up to see where, with shortcuts between."""

from pycnn import nn
from pycnn.models.blocks import Shape, conv_relu, scaled

PADDINGS = ("valid", "same")

#: The least input of so many levels is 786,428 pixels wide.
MOST_LEVELS = 16


def unet(
    input_shape: Shape = (1, 572, 572),
    classes: int = 2,
    width: float = 1.0,
    levels: int = 4,
    padding: str = "valid",
    dropout: float = 0.5,
) -> nn.Sequential:
    """U-Net: a class for every pixel.

    Parameters
    ----------
    input_shape : (channels, height, width), default (1, 572, 572)
    classes : int, default 2
        Channels of the result, which are scores.
    width : float, default 1.0
        Factor of the numbers of filters, 64 and twice as many on each level below.
    levels : int, default 4
        How often the extent is halved.
    padding : {"valid", "same"}, default "valid"
        "valid" is the paper's: no convolution is padded, shortcuts are cropped, and the result is
        smaller than the input (388x388 for 572x572). With "same" it has the input's extent.
    dropout : float, default 0.5
        Where the way down ends. The paper has dropout there, and does not say how much.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If an extent cannot be halved evenly on every level, with those that can, or another
        argument is out of range.

    References
    ----------
    O. Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", 2015,
    figure 1.

    Examples
    --------
    >>> unet(width=1 / 64).output_shape((1, 572, 572))
    (2, 388, 388)
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding={padding!r}: allowed are {', '.join(PADDINGS)}")
    if not isinstance(levels, int) or not 1 <= levels <= MOST_LEVELS:
        raise ValueError(f"levels={levels}: allowed are ints from 1 to {MOST_LEVELS}")
    _check_extents(input_shape, levels, padding)
    first = scaled(64, width)
    top = _level(input_shape, first, levels, padding, dropout)
    return nn.Sequential(**top.children, scores=nn.Conv2d(first, classes, 1))


def _level(
    input_shape: tuple[int, ...], filters: int, below: int, padding: str, dropout: float
) -> nn.Sequential:
    """Two convolutions; with levels `below`, also what these make of the result, beside itself."""
    down = _double(input_shape[0], filters, padding)
    if below == 0:
        return nn.Sequential(**down.children, dropout=nn.Dropout(dropout))
    reached = down.output_shape(input_shape)
    halved = (filters, reached[1] // 2, reached[2] // 2)
    under = nn.Sequential(
        pool=nn.MaxPool2d(2),
        level=_level(halved, 2 * filters, below - 1, padding, dropout),
        up=nn.ConvTranspose2d(2 * filters, filters, 2, stride=2),
    )
    crop = _centre_crop(reached, under.output_shape(reached))
    return nn.Sequential(
        down=down,
        join=nn.Concat(across=crop, under=under),
        up=_double(2 * filters, filters, padding),
    )


def _double(inputs: int, filters: int, padding: str) -> nn.Sequential:
    return nn.Sequential(
        conv1=conv_relu(inputs, filters, 3, padding=padding),
        conv2=conv_relu(filters, filters, 3, padding=padding),
    )


def _centre_crop(shape: tuple[int, ...], target: tuple[int, ...]) -> nn.Layer:
    """Takes the same off on both sides; extents are even, so that this comes out."""
    rows, columns = ((have - want) // 2 for have, want in zip(shape[1:], target[1:], strict=True))
    if rows == columns == 0:
        return nn.Identity()
    return nn.Pad((-columns, -columns, -rows, -rows))


def _check_extents(input_shape: Shape, levels: int, padding: str) -> None:
    """Every pooling must meet an even extent.

    "same": a multiple of 2^L. "valid": four pixels are lost before each pooling and at the bottom,
    and the way up needs four there, so that 2^L n - 4 with n from 12 on.
    """
    step = 2**levels
    lost, least = (4, 12) if padding == "valid" else (0, 1)
    for extent in input_shape[1:]:
        if (extent + lost) % step or extent + lost < least * step:
            sizes = ", ".join(str(step * n - lost) for n in range(least, least + 3))
            raise ValueError(
                f"input_shape={input_shape}: allowed are extents {step} n"
                f"{f' - {lost}' if lost else ''}, {sizes} ..., with {levels} levels and "
                f"padding={padding!r}"
            )
