"""Diagrams of docs/examples.md: networks that are no chain of layers."""

from docs.pictures.svg import INK, MARK, NEGATIVE, POSITIVE, QUIET, SHADE, Picture, mixed

MINUS = "\N{MINUS SIGN}"
RIGHT, LEFT = mixed(POSITIVE, 0.25), mixed(NEGATIVE, 0.25)


def _node(p: Picture, x: float, y: float, text: str, fill: str) -> None:
    p.add("circle", cx=x, cy=y, r=26, fill=fill, stroke=INK)
    p.text(x, y, text, font_size=13)


def _box(p: Picture, x: float, y: float, width: float, text: str, fill: str) -> None:
    """Centred at (x, y)."""
    p.box(x - width / 2, y - 22, width, 44, rx=6, fill=fill, stroke=INK)
    p.text(x, y, text)


def recurrent_network() -> Picture:
    p = Picture(760, 300, "A recurrent network, and the same unrolled over three steps")
    p.head(110, 24, "with a loop")
    p.head(500, 24, "unrolled: the same weights at every step")
    for x, when in ((110, "t"), (330, f"t{MINUS}1"), (500, "t"), (670, "t+1")):
        p.arrow(x, 226, x, 180, POSITIVE)
        p.arrow(x, 128, x, 96, NEGATIVE)
        _node(p, x, 250, f"x({when})", SHADE)
        _node(p, x, 154, f"h({when})", RIGHT)
        _node(p, x, 72, f"y({when})", LEFT)
        p.left(x + 8, 206, "W", fill=POSITIVE)
        p.left(x + 8, 112, "V", fill=NEGATIVE)
    p.add("path", d="M132 144C190 120 190 188 136 167", fill="none", stroke=MARK, stroke_width=2)
    p.arrow(140, 169, 132, 164, MARK)
    p.left(182, 154, "U", fill=MARK)
    for x in (246, 354, 524):
        p.arrow(x, 154, x + (60 if x == 246 else 122), 154, MARK)
        p.text(x + 40, 140, "U", fill=MARK)
    p.line(694, 154, 740, 154, MARK, stroke_width=1.5, stroke_dasharray="4 4")
    return p


def boltzmann_machine() -> Picture:
    p = Picture(640, 250, "A restricted Boltzmann machine: edges between the two rows only")
    hidden, visible = [90 + 70 * i for i in range(4)], [55 + 58 * i for i in range(6)]
    for x in hidden:
        for below in visible:
            p.line(x, 70, below, 180, QUIET)
    for x in hidden:
        p.add("circle", cx=x, cy=70, r=14, fill=RIGHT, stroke=INK)
    for x in visible:
        p.add("circle", cx=x, cy=180, r=14, fill=SHADE, stroke=INK)
    p.text(195, 32, "hidden units h, 0 or 1")
    p.text(200, 222, "visible units v, 0 or 1: pixels")
    p.arrow(420, 160, 420, 92, POSITIVE)
    p.left(434, 110, "p(h | v) =", fill=POSITIVE, font_size=14)
    p.left(434, 130, "sigmoid(W v + b)", fill=POSITIVE, font_size=14)
    p.left(434, 170, "p(v | h) =", fill=NEGATIVE, font_size=14)
    p.left(434, 190, "sigmoid(W\N{PRIME} h + a)", fill=NEGATIVE, font_size=14)
    p.arrow(408, 92, 408, 160, NEGATIVE)
    return p


def deep_belief_network() -> Picture:
    p = Picture(700, 330, "A deep belief network: Boltzmann machines, stacked; labels at the top")
    _box(p, 200, 286, 240, "784 pixels", SHADE)
    _box(p, 200, 176, 200, "hidden units", RIGHT)
    _box(p, 430, 176, 130, "10 label units", LEFT)
    _box(p, 290, 56, 200, "hidden units", RIGHT)
    p.arrow(180, 262, 180, 200, POSITIVE)
    p.arrow(220, 200, 220, 262, NEGATIVE)
    for x, y in ((220, 250), (410, 340)):
        p.line(x, 154, y, 78, INK, stroke_width=2)
    p.text(84, 231, "first machine", font_size=13)
    p.left(404, 104, "second machine: to and fro", font_size=13)
    p.left(530, 170, "read: keep the pixels,", font_size=13, fill=POSITIVE)
    p.left(530, 188, "p(label | pixels)", font_size=13, fill=POSITIVE)
    p.left(530, 218, "draw: keep a label,", font_size=13, fill=NEGATIVE)
    p.left(530, 236, "p(pixels | label)", font_size=13, fill=NEGATIVE)
    p.left(234, 231, "down", font_size=13, fill=NEGATIVE)
    p.text(160, 231, "up", font_size=13, fill=POSITIVE)
    return p


def adversarial_networks() -> Picture:
    p = Picture(760, 270, "Two networks that learn from each other: one makes digits, one judges")
    _box(p, 80, 76, 120, "noise, label", SHADE)
    _box(p, 250, 76, 120, "generator", RIGHT)
    _box(p, 420, 76, 120, "made digits", "#ffffff")
    _box(p, 420, 196, 120, "real digits", "#ffffff")
    _box(p, 600, 136, 130, "discriminator", LEFT)
    p.arrow(140, 76, 190, 76)
    p.arrow(310, 76, 360, 76)
    p.arrow(480, 76, 552, 112)
    p.arrow(480, 196, 552, 160)
    p.arrow(665, 136, 700, 136)
    p.text(726, 128, "real?", font_size=14)
    p.text(726, 146, "0 to 1", font_size=12, fill=QUIET)
    p.add("path", d="M600 112V26H250V46", fill="none", stroke=MARK, stroke_width=1.5,
          stroke_dasharray="5 4")  # fmt: skip
    p.arrow(250, 40, 250, 53, MARK)
    p.text(425, 14, "gradient: how to be taken for real", fill=MARK, font_size=13)
    p.note(600, 220, "learns to tell them apart")
    p.note(250, 122, "learns to be taken for real")
    return p
