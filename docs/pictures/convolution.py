"""Pictures of docs/a-convolution-by-hand.md; every number in them is computed by pycnn."""

import numpy as np

import pycnn
from docs.pictures.svg import (
    INK,
    LINES,
    MARK,
    NEGATIVE,
    POSITIVE,
    QUIET,
    SHADE,
    Picture,
    grey,
    mixed,
    number,
    plain,
    signed,
    total,
)

#: An 8 of 12 x 10 pixels, from 0, black, to 9, nearly white.
EIGHT = np.array([[int(c) * 28 for c in row] for row in (
    "0000000000",
    "0007997000",
    "0085005800",
    "0092002900",
    "0076006700",
    "0008998000",
    "0087007800",
    "0290000920",
    "0390000930",
    "0095005900",
    "0008998000",
    "0000000000",
)])  # fmt: skip
SIGNAL = [2, 5, 9, 6, 3, 5, 7]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
ONES = [
    [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0],
]  # fmt: skip
VERTICAL = [[1, 0, -1]] * 3
SIX = [
    [3, 0, 1, 2, 7, 4], [1, 5, 8, 9, 3, 1], [2, 7, 2, 5, 1, 3],
    [0, 1, 3, 1, 7, 8], [4, 2, 1, 6, 2, 8], [2, 4, 5, 2, 3, 9],
]  # fmt: skip
HALVES = [[10, 10, 10, 0, 0, 0]] * 6


def _conv(x: object, weight: object, **settings: int) -> np.ndarray:
    planes = np.asarray(x, float)[None], np.asarray(weight, float)[None, None]
    result: np.ndarray = pycnn.conv2d(*planes, **settings)[0]
    return result


def picture_as_matrix() -> Picture:
    p = Picture(640, 340, "A grey picture and the numbers it is made of")
    p.head(140, 22, "what we see")
    p.grid(20, 40, EIGHT, 24, grey(252), shown=False, stroke="none")
    p.arrow(268, 184, 296, 184)
    p.head(428, 22, "what there is: 12 rows, 10 columns")
    p.grid(304, 40, EIGHT, 24, plain, size=11)
    p.left(552, 100, "0 is black", fill=QUIET, font_size=12)
    p.left(552, 120, "255 white", fill=QUIET, font_size=12)
    return p


def connections() -> Picture:
    p = Picture(760, 300, "Nodes and edges: fully connected, locally connected, and shared weights")
    looks = ("fully connected", "locally connected", "shared weights")
    counts = ("7 x 5 = 35 weights", "3 x 5 = 15 weights", "3 weights")
    large = ("10^12", "10^8", "100")
    colours = (POSITIVE, NEGATIVE, MARK)
    for k, (look, count, much) in enumerate(zip(looks, counts, large, strict=True)):
        left = 20 + 250 * k
        p.head(left + 110, 24, look)
        for unit in range(5):
            seen = range(7) if k == 0 else range(unit, unit + 3)
            for i in seen:
                p.line(left + 14 + 32 * i, 190, left + 46 + 32 * unit, 70,
                       colours[i - unit] if k == 2 else QUIET,
                       stroke_width=2.2 if k == 2 else 1.1)  # fmt: skip
        for i in range(7):
            p.add("circle", cx=left + 14 + 32 * i, cy=190, r=10, fill=SHADE, stroke=INK)
        for unit in range(5):
            p.add("circle", cx=left + 46 + 32 * unit, cy=70, r=10, fill="#fff", stroke=INK)
        p.text(left + 110, 226, count.replace(" x ", " \N{MULTIPLICATION SIGN} "))
        power = much.partition("^")
        p.note(left + 110, 250, "million pixels, million units:")
        if power[2]:
            p.text(left + 104, 274, power[0], font_weight="bold")
            p.left(left + 115, 267, power[2], font_weight="bold", font_size=11)
        else:
            p.text(left + 110, 274, much, font_weight="bold")
    return p


def one_axis() -> Picture:
    p = Picture(560, 220, "The filter 1, -1, 1 slides along a row of numbers")
    weight = [1, -1, 1]
    found = pycnn.conv1d(np.array([SIGNAL], float), np.array([[weight]], float))[0]
    p.left(20, 58, "signal")
    p.grid(110, 40, SIGNAL, 40)
    p.left(20, 170, "result")
    p.grid(150, 150, found, 40, lambda v: SHADE)
    for i, value in enumerate(found):
        with p.step():
            p.frame(110 + 40 * i, 40, 120, 40)
            for j, w in enumerate(weight):
                p.text(130 + 40 * (i + j), 94, f"\N{MULTIPLICATION SIGN}{number(w)}",
                       fill=MARK, font_size=13)  # fmt: skip
            p.arrow(170 + 40 * i, 106, 170 + 40 * i, 146, MARK)
            p.frame(150 + 40 * i, 150, 40, 40)
            products = [w * SIGNAL[i + j] for j, w in enumerate(weight)]
            p.left(410, 170, total(products, value))
    return p


def _sliding(title: str, x: object, weight: object, cell: int = 34) -> Picture:
    """One filter over one plane; a step for every place."""
    x, weight = np.array(x), np.array(weight)
    found = _conv(x, weight)
    rows, columns = found.shape
    side, f = len(x) * cell, len(weight)
    width = 20 + side + 50 + f * cell + 50 + columns * cell + 20
    p = Picture(width, side + 96, title)
    filter_x, result_x = 20 + side + 50, 20 + side + 100 + f * cell
    down = (side - f * cell) / 2 + 40
    result_y = (side - rows * cell) / 2 + 40
    p.note(20 + side / 2, 22, "picture")
    p.grid(20, 40, x, cell)
    p.text(filter_x - 25, 40 + side / 2, "*", font_size=26)
    p.note(filter_x + f * cell / 2, down - 18, "filter")
    p.grid(filter_x, down, weight, cell, lambda v: SHADE)
    p.text(result_x - 25, 40 + side / 2, "=", font_size=22)
    p.note(result_x + columns * cell / 2, result_y - 18, "result")
    p.grid(result_x, result_y, found, cell)
    for i, j in np.ndindex(rows, columns):
        with p.step():
            p.frame(20 + j * cell, 40 + i * cell, f * cell, f * cell)
            p.frame(result_x + j * cell, result_y + i * cell, cell, cell)
            products = (x[i : i + f, j : j + f] * weight).ravel()
            p.text(width / 2, side + 68, total(products, found[i, j]))
    return p


def sliding() -> Picture:
    return _sliding("A 3x3 cross slides over 5x5 ones and zeros", ONES, CROSS)


def six_by_six() -> Picture:
    return _sliding("A vertical filter slides over 6x6 numbers", SIX, VERTICAL, 38)


def vertical_edge() -> Picture:
    p = Picture(640, 290, "Half white, half black: the filter finds the edge")
    p.note(122, 22, "half white, half black")
    p.grid(20, 40, HALVES, 34, grey(10))
    p.text(249, 142, "*", font_size=26)
    p.note(325, 73, "filter")
    p.grid(274, 91, VERTICAL, 34, signed(1.6))
    p.text(400, 142, "=", font_size=22)
    found = _conv(HALVES, VERTICAL)
    p.note(500, 56, "the edge")
    p.grid(432, 74, found, 34, signed(36))
    minus = "\N{MINUS SIGN}"
    p.note(320, 272, f"10 + 10 + 10 {minus} 0 {minus} 0 {minus} 0 = 30 where the window lies "
           "across the edge")  # fmt: skip
    return p


def difference() -> Picture:
    row = np.array([1, 1, 1, 6, 6, 6, 4, 2, 2, 2.0])
    found = pycnn.conv1d(row[None], np.array([[[-1.0, 0, 1]]]))[0]
    p = Picture(
        600, 300, "The filter -1, 0, 1: how much more there is on the right than on the left"
    )
    p.left(20, 40, "row")
    p.grid(110, 20, row, 40)
    for j, v in enumerate(row):
        p.box(114 + 40 * j, 130 - 10 * v, 32, 10 * v, fill=LINES)
    p.left(20, 175, "result")
    p.grid(150, 155, found, 40, signed(7))
    p.line(150, 250, 470, 250, LINES)
    for j, v in enumerate(found):
        if v:
            p.box(154 + 40 * j, 250 - 8 * max(v, 0), 32, 8 * abs(v),
                  fill=mixed(POSITIVE if v > 0 else NEGATIVE, 0.8))  # fmt: skip
    p.left(490, 215, "it rises", fill=POSITIVE, font_size=13)
    p.left(490, 275, "it falls", fill=NEGATIVE, font_size=13)
    return p


def padding() -> Picture:
    p = Picture(700, 300, "Without padding 5x5 becomes 3x3; with a zero on every side it stays 5x5")
    padded = np.pad(np.array(ONES), 1)
    p.head(130, 22, "valid: p = 0")
    p.grid(20, 58, ONES, 26)
    p.frame(20, 58, 78, 78)
    p.arrow(158, 123, 186, 123)
    p.grid(194, 84, _conv(ONES, CROSS), 26)
    p.frame(194, 84, 26, 26)
    p.head(510, 22, "same: p = (3 \N{MINUS SIGN} 1) / 2 = 1")
    p.box(314, 40, 182, 182, fill=SHADE)
    p.grid(314, 40, padded, 26, lambda v: SHADE if v == 0 else "#ffffff")
    p.grid(340, 66, ONES, 26)
    p.frame(314, 40, 78, 78)
    p.arrow(506, 131, 534, 131)
    p.grid(542, 66, _conv(ONES, CROSS, padding=1), 26)
    p.frame(542, 66, 26, 26)
    p.note(130, 252, "5 + 0 \N{MINUS SIGN} 3 + 1 = 3")
    p.note(510, 252, "5 + 2 \N{MINUS SIGN} 3 + 1 = 5")
    p.note(350, 280, "The window is framed, and the number it gives.")
    return p


def stride() -> Picture:
    p = Picture(520, 300, "With stride 2 the window moves by two")
    cell = 32
    p.note(132, 18, "7 x 7, filter 3 x 3, stride 2".replace(" x ", "\N{MULTIPLICATION SIGN}"))
    p.grid(20, 34, np.full((7, 7), np.nan), cell)
    p.arrow(262, 146, 310, 146)
    p.note(378, 76, "3\N{MULTIPLICATION SIGN}3")
    p.grid(330, 98, np.full((3, 3), np.nan), cell)
    for i, j in np.ndindex(3, 3):
        with p.step():
            p.frame(20 + 2 * j * cell, 34 + 2 * i * cell, 3 * cell, 3 * cell)
            p.frame(330 + j * cell, 98 + i * cell, cell, cell)
    p.note(260, 282, "(7 \N{MINUS SIGN} 3) / 2 + 1 = 3")
    return p


def _stack(p: Picture, x: float, y: float, side: int, cell: float, colours: list[str]) -> None:
    """Planes behind each other, the first one in front."""
    for k in reversed(range(len(colours))):
        p.grid(x + 14 * k, y - 14 * k, np.zeros((side, side)), cell,
               lambda _, c=colours[k]: c, shown=False, stroke="#8a93a0")  # fmt: skip


def volume() -> Picture:
    p = Picture(700, 350, "A colour picture has three planes, and so has every filter")
    red, green, blue = mixed("#c0392b", 0.45), mixed("#2e8b57", 0.4), mixed("#2f6fba", 0.45)
    times = "\N{MULTIPLICATION SIGN}"
    _stack(p, 20, 110, 6, 26, [red, green, blue])
    p.text(112, 300, f"6{times}6{times}3")
    p.note(112, 320, "red, green, blue")
    for k, (y, colour) in enumerate(((50, POSITIVE), (208, NEGATIVE))):
        _stack(p, 290, y, 3, 26, [red, green, blue])
        p.box(284, y - 34, 118, 118, fill="none", stroke=colour, stroke_width=2.5, rx=4)
        p.arrow(222, 178, 278, y + 26, colour)
        p.arrow(408, y + 26, 482, 166, colour)
        p.note(343, y + 98, f"filter {k + 1}: 3{times}3{times}3")
    _stack(p, 490, 126, 4, 26, [mixed(POSITIVE, 0.4), mixed(NEGATIVE, 0.4)])
    p.text(560, 258, f"4{times}4{times}2")
    p.note(560, 278, "a plane from each filter;")
    p.note(560, 298, "each number: 27 products")
    return p


def turned() -> Picture:
    spot = np.zeros((5, 5))
    spot[2, 2] = 1
    weight = np.arange(1, 10).reshape(3, 3)
    p = Picture(660, 340, "Cross-correlation leaves a filter turned round, convolution as it is")
    for k, (name, used) in enumerate((
        ("cross-correlation, as networks do it", weight),
        ("convolution: the filter turned by 180\N{DEGREE SIGN}", weight[::-1, ::-1]),
    )):  # fmt: skip
        y = 40 + 152 * k
        p.left(20, y - 20, name, font_weight="bold")
        p.grid(20, y, spot, 22, lambda v: SHADE if v else "#ffffff", size=12)
        p.text(160, y + 55, "*", font_size=24)
        p.grid(190, y + 10, used, 30, lambda v: mixed(POSITIVE, v / 14))
        p.text(314, y + 55, "=", font_size=20)
        p.grid(344, y + 10, _conv(spot, used), 30, lambda v: mixed(POSITIVE, v / 14))
        p.left(458, y + 55, "turned round" if k == 0 else "the filter itself", fill=QUIET)
    return p
