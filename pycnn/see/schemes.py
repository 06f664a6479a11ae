"""How four kinds of networks work, that no chain of layers shows: drawn as they are explained."""

from collections.abc import Callable, Sequence

from pycnn.see.parts import LETTER, LINE, Part, Path, Point, Text

BIG, SMALL = 0.46, 0.3


class Sheet:
    """Collects what is drawn; places are middles."""

    def __init__(self, width: float, height: float) -> None:
        self.size = width, height
        self.texts: list[Text] = []
        self.paths: list[Path] = []

    def circle(self, at: Point, text: str, kind: str, size: float = BIG) -> None:
        lines = (text,) if text else ()
        place = at[0] - size / 2, at[1] - size / 2
        self.texts.append(Text(*place, size, size, lines, kind, is_round=True))

    def box(self, at: Point, lines: Sequence[str], kind: str) -> None:
        width, height = LETTER * max(map(len, lines)) + 0.3, LINE * len(lines) + 0.2
        place = at[0] - width / 2, at[1] - height / 2
        self.texts.append(Text(*place, width, height, tuple(lines), kind))

    def label(self, at: Point, *lines: str) -> None:
        self.texts.append(Text(at[0], at[1], 0.0, 0.0, lines, is_bare=True))

    def arrow(self, *points: Point, dashed: bool = False) -> None:
        self.paths.append(Path(points, dashed=dashed))

    def line(self, *points: Point) -> None:
        self.paths.append(Path(points, arrow=False))

    def row(self, y: float, xs: Sequence[float], kind: str) -> list[Point]:
        for x in xs:
            self.circle((x, y), "", kind, SMALL)
        return [(x, y) for x in xs]

    def between(self, one: Sequence[Point], other: Sequence[Point], arrows: bool = False) -> None:
        """Each with each: lines, or arrows from `one` down to `other`."""
        for x, y in one:
            for a, b in other:
                if arrows:
                    self.arrow((x, y), (a, b - SMALL / 2))
                else:
                    self.line((x, y), (a, b))

    def part(self) -> Part:
        return Part(*self.size, 0.0, tuple(self.texts), tuple(self.paths))


def recurrent() -> Part:
    """A state that goes round, and the same laid out in time: the same three matrices each time."""
    sheet = Sheet(7.0, 2.7)
    top, middle, bottom = 0.35, 1.25, 2.15
    r = BIG / 2

    def column(x: float, names: tuple[str, str, str]) -> None:
        for y, name, kind in zip((top, middle, bottom), names, ("dense", "residual", "input"),
                                 strict=True):  # fmt: skip
            sheet.circle((x, y), name, kind)
        sheet.arrow((x, bottom - r), (x, middle + r))
        sheet.arrow((x, middle - r), (x, top + r))
        sheet.label((x + 0.14, (middle + bottom) / 2), "W")
        sheet.label((x + 0.14, (top + middle) / 2), "V")

    column(0.5, ("y", "h", "x"))
    sheet.arrow((0.5 + r, middle - 0.08), (1.1, middle - 0.08), (1.1, middle + 0.12),
                (0.5 + r, middle + 0.12))  # fmt: skip
    sheet.label((1.22, middle), "U")
    sheet.label((1.85, middle), "=")
    times = ("t-1", "t", "t+1")
    xs = (3.1, 4.5, 5.9)
    for x, time in zip(xs, times, strict=True):
        column(x, (f"y({time})", f"h({time})", f"x({time})"))
    for start, end in zip((2.3, *xs), (*xs, 6.7), strict=True):
        begin = start if start == 2.3 else start + r
        sheet.arrow((begin, middle), (end - r if end < 6.7 else end, middle))
        sheet.label(((begin + end - r) / 2, middle - 0.12), "U")
    sheet.label((3.5, 2.6), "h(t) = tanh(W x(t) + U h(t-1) + b);   y(t) = V h(t):   "
                "gradients of W, U and V add up over time")  # fmt: skip
    return sheet.part()


def boltzmann() -> Part:
    """Two rows of units, each joined with each of the other row, none with its own."""
    sheet = Sheet(5.4, 2.3)
    hidden = sheet.row(0.4, [1.6 + 0.6 * i for i in range(4)], "residual")
    visible = sheet.row(1.5, [1.0 + 0.6 * i for i in range(6)], "input")
    sheet.between(hidden, visible)
    sheet.label((4.75, 0.4), "hidden units h")
    sheet.label((4.95, 1.0), "weights W")
    sheet.label((4.85, 1.5), "visible units v")
    sheet.label((2.6, 2.05), "p(h | v) = sigmoid(W v + b)       p(v | h) = sigmoid(W' h + a)")
    return sheet.part()


def belief() -> Part:
    """Two machines: the upper one with label units; below it arrows go down only."""
    sheet = Sheet(6.4, 3.5)
    above = sheet.row(0.4, [1.0 + 0.6 * i for i in range(6)], "residual")
    below = sheet.row(1.4, [0.7 + 0.6 * i for i in range(4)], "residual")
    labels = sheet.row(1.4, [3.6 + 0.5 * i for i in range(3)], "dense")
    visible = sheet.row(2.5, [0.4 + 0.6 * i for i in range(5)], "input")
    sheet.between(above, [*below, *labels])
    sheet.between(below, visible, arrows=True)
    sheet.label((5.55, 0.4), "hidden units")
    sheet.label((5.55, 0.9), "upper machine:", "lines go both ways")
    sheet.label((5.6, 1.4), "hidden units | labels")
    sheet.label((4.4, 2.0), "lower machine, trained first: on the way down")
    sheet.label((4.05, 2.5), "pixels: the observation")
    sheet.label((3.1, 3.05), "P(label | observation): up, then free energies of the labels",
                "P(observation | label): hold a label, go to and fro above, then down")  # fmt: skip
    return sheet.part()


def adversarial() -> Part:
    """Two networks that learn from each other."""
    sheet = Sheet(7.2, 2.5)
    sheet.box((0.7, 0.6), ["noise z"], "input")
    sheet.box((2.2, 0.6), ["generator G", "makes images"], "upsampling")
    sheet.box((3.9, 0.6), ["made image G(z)"], "branches")
    sheet.box((3.9, 1.6), ["real image x"], "input")
    sheet.box((5.6, 1.1), ["discriminator D", "real or made?"], "convolution")
    sheet.box((6.85, 1.1), ["D(.)"], "dense")
    sheet.arrow((1.13, 0.6), (1.63, 0.6))
    sheet.arrow((2.78, 0.6), (3.22, 0.6))
    sheet.arrow((4.58, 0.6), (4.8, 0.6), (4.8, 1.02), (4.92, 1.02))
    sheet.arrow((4.5, 1.6), (4.8, 1.6), (4.8, 1.18), (4.92, 1.18))
    sheet.arrow((6.28, 1.1), (6.57, 1.1))
    sheet.arrow((6.85, 0.92), (6.85, 0.15), (2.2, 0.15), (2.2, 0.34), dashed=True)
    sheet.label((4.5, 0.05), "gradient for G: make D(G(z)) large")
    sheet.arrow((6.85, 1.28), (6.85, 2.05), (5.6, 2.05), (5.6, 1.36), dashed=True)
    sheet.label((3.9, 2.05), "gradient for D: D(x) large, D(G(z)) small")
    sheet.label((3.6, 2.4), "conditional: the label is joined to z, and as planes to every image")
    return sheet.part()


SCHEMES: dict[str, tuple[str, Callable[[], Part]]] = {
    "rnn": ("A recurrent network, and the same unrolled in time", recurrent),
    "rbm": ("A restricted Boltzmann machine", boltzmann),
    "dbn": ("A deep belief network with label units", belief),
    "gan": ("Generative adversarial networks", adversarial),
}
