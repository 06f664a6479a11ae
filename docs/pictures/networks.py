"""Pictures of docs/networks-by-hand.md; every number in them is computed by pycnn."""

from itertools import pairwise

import numpy as np

import pycnn
from docs.pictures.svg import (
    INK,
    MARK,
    NEGATIVE,
    POSITIVE,
    QUIET,
    SHADE,
    Picture,
    mixed,
)
from pycnn import nn
from pycnn.see import summary

TIMES, SQUARED = "\N{MULTIPLICATION SIGN}", "\N{SUPERSCRIPT TWO}"
SMALL = [[1, 2], [3, 4]]
SMOOTH = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def receptive_fields() -> Picture:
    p = Picture(560, 330, "What one element sees after four 3x3 convolutions and a 2x2 pooling")
    layers = [nn.Conv2d(1, 1, 3) for _ in range(4)] + [nn.MaxPool2d(2, stride=1)]
    found = summary(nn.Sequential(*layers), (1, 10, 10)).layers
    p.grid(20, 20, np.full((10, 10), np.nan), 29)
    for k, layer in enumerate(reversed(found)):
        side = int(layer.field[0].size)
        colour = mixed(NEGATIVE, 0.12 + 0.2 * k)
        p.box(20, 20, 29 * side, 29 * side, fill=colour, fill_opacity=".75", stroke=INK)
    for k, layer in enumerate(found):
        side = int(layer.field[0].size)
        name = f"convolution {k + 1}" if k < 4 else "pooling 2\N{MULTIPLICATION SIGN}2"
        p.box(340, 40 + 48 * k, 26, 26, fill=mixed(NEGATIVE, 0.12 + 0.2 * (4 - k)), stroke=INK)
        p.left(380, 53 + 48 * k, f"{name}: {side}{TIMES}{side}")
    p.note(440, 296, "of the first element of each")
    return p


def three_by_three() -> Picture:
    p = Picture(700, 330, "Three 3x3 convolutions see as much as one of 7x7")
    for k, (title, count, heights) in enumerate((
        (f"three of 3{TIMES}3", f"3 {TIMES} 9 C{SQUARED} = 27 C{SQUARED} weights", (7, 5, 3, 1)),
        (f"one of 7{TIMES}7", f"49 C{SQUARED} weights", (7, 1)),
    )):  # fmt: skip
        left = 40 + 350 * k
        p.head(left + 126, 24, title)
        rows = [[left + 42 * ((7 - n) / 2 + i) for i in range(n)] for n in heights]
        drop = 180 / (len(rows) - 1)
        for level, (below, above) in enumerate(pairwise(rows)):
            for i, x in enumerate(above):
                for seen in below[i : i + len(below) - len(above) + 1]:
                    p.line(seen, 250 - drop * level, x, 250 - drop * (level + 1), QUIET)
        for level, row in enumerate(rows):
            for x in row:
                p.add("circle", cx=x, cy=250 - drop * level, r=11, stroke=INK,
                      fill=SHADE if level == 0 else mixed(POSITIVE, 0.25))  # fmt: skip
        p.text(left + 126, 290, count)
    p.note(350, 314, "Seen along one axis; C channels in and out.")
    return p


def transposed() -> Picture:
    p = Picture(640, 270, "A transposed convolution: every number stamps the filter, stride 2")
    x, weight = np.array([SMALL], float), np.array([[SMOOTH]], float)
    found = pycnn.conv_transpose2d(x, weight, stride=2)[0]
    p.note(60, 80, "small")
    p.grid(20, 96, SMALL, 40)
    p.text(126, 136, TIMES, font_size=22)
    p.note(207, 60, "filter")
    p.grid(150, 76, SMOOTH, 38, lambda v: SHADE)
    p.text(292, 136, "=", font_size=22)
    p.note(423, 20, "large")
    p.grid(328, 36, found, 38, lambda v: mixed(POSITIVE, float(v) / 60))
    for i, j in np.ndindex(2, 2):
        with p.step():
            p.frame(20 + 40 * j, 96 + 40 * i, 40, 40)
            p.frame(328 + 76 * j, 36 + 76 * i, 114, 114)
            p.left(536, 120, f"{SMALL[i][j]} {TIMES} filter")
    p.note(423, 250, "where stamps overlap, they add up")
    return p


def dilated() -> Picture:
    p = Picture(700, 270, "Dilation: nine weights see 3x3, 5x5 or 7x7")
    for k, gap in enumerate((1, 2, 3)):
        left = 20 + 230 * k
        size = nn.Conv2d(1, 1, 3, dilation=gap).output_shape((1, 7, 7))[1]
        p.head(left + 98, 22, f"dilation {gap}")
        p.grid(left, 40, np.full((7, 7), np.nan), 28)
        for i, j in np.ndindex(3, 3):
            p.box(left + 28 * gap * j, 40 + 28 * gap * i, 28, 28, fill=mixed(POSITIVE, 0.6),
                  stroke="#ffffff")  # fmt: skip
        side = 28 * (2 * gap + 1)
        p.frame(left, 40, side, side)
        sees = 2 * gap + 1
        p.note(left + 98, 254, f"sees {sees}{TIMES}{sees}; of 7{TIMES}7 come {size}{TIMES}{size}")
    return p


def residual() -> Picture:
    p = Picture(700, 190, "A residual unit: what two convolutions find is added to what came in")
    y = 120
    p.text(24, y, "x")
    x = 70
    for name in (f"conv 3{TIMES}3", "ReLU", f"conv 3{TIMES}3"):
        p.arrow(x - 32, y, x, y)
        width = 70 if name == "ReLU" else 104
        p.box(x, y - 22, width, 44, rx=6, stroke=INK,
              fill=mixed(NEGATIVE, 0.25) if name == "ReLU" else mixed(POSITIVE, 0.25))  # fmt: skip
        p.text(x + width / 2, y, name)
        x += width + 32
    p.arrow(x - 32, y, x + 24, y)
    p.note(x - 2, y + 20, "F(x)")
    p.add("circle", cx=x + 40, cy=y, r=16, fill="#fff", stroke=INK)
    p.text(x + 40, y, "+", font_size=20)
    p.add("path", d=f"M50 {y}V40H{x + 40}", fill="none", stroke=MARK, stroke_width=2)
    p.arrow(x + 40, 40, x + 40, y - 17, MARK)
    p.text((50 + x) / 2, 24, "the shortcut: x as it is", fill=MARK)
    p.arrow(x + 56, y, x + 130, y)
    p.note(x + 90, y + 20, "F(x) + x")
    p.box(x + 130, y - 22, 70, 44, rx=6, stroke=INK, fill=mixed(NEGATIVE, 0.25))
    p.text(x + 165, y, "ReLU")
    p.arrow(x + 200, y, x + 234, y)
    return p
