"""Colours of diagrams."""

#: Faces by kind, distinguishable to the colour-blind; and what the legend calls them.
COLOURS = {
    "input": "#c9ced6",
    "convolution": "#f0c05a",
    "pooling": "#d1605e",
    "upsampling": "#5fae8b",
    "residual": "#6a9fd4",
    "branches": "#e58a4e",
    "gate": "#b07aa1",
    "dense": "#8d7fc7",
    "normalisation": "#9ac3a0",
    "other": "#dfe3e8",
}
INK, QUIET = "#22262c", "#6b7280"


def lit(colour: str, light: float) -> str:
    """A lighter (to 1) or darker (to -1) colour.

    Examples
    --------
    >>> lit("#804020", 0.5), lit("#804020", -0.5)
    ('#c0a090', '#402010')
    """
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    aim = 255 if light > 0 else 0
    return "#" + "".join(f"{round(c + (aim - c) * abs(light)):02x}" for c in channels)
