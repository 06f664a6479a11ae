"""Pictures of docs/after-a-convolution.md; every number in them is computed by pycnn."""

import numpy as np

import pycnn
from docs.pictures.svg import (
    LINES,
    MARK,
    NEGATIVE,
    POSITIVE,
    QUIET,
    SHADE,
    Picture,
    mixed,
    number,
    signed,
)
from pycnn import nn

MAP = [[3, -2, 0, 5], [-1, 4, -6, 2], [1, 0, -3, 7], [-4, 2, 6, -1]]
TO_POOL = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]
OUTPUT, TARGET, BETTER = (0.2, 0.4, 0.1, 0.3), (0, 0, 1, 0), (0.1, 0.1, 0.7, 0.1)
SCORES = (2.0, 1.0, 0.1, -1.0)
TRUTH = [[1, 0, -1]] * 3


def relu() -> Picture:
    p = Picture(560, 230, "ReLU: what is negative becomes 0")
    x = np.array(MAP, float)
    p.note(108, 20, "a feature map")
    p.grid(20, 36, x, 44, signed(7))
    p.text(280, 104, "ReLU")
    p.arrow(225, 124, 335, 124)
    p.note(452, 20, "what is left of it")
    p.grid(364, 36, pycnn.relu(x[None])[0], 44, signed(7))
    return p


def pooling() -> Picture:
    p = Picture(720, 300, "Four ways of pooling a 4x4 map by windows of 2x2 that move by 2")
    x = np.array([TO_POOL], float)
    pooled = {
        "largest": pycnn.max_pool2d(x, 2)[0],
        "mean": pycnn.avg_pool2d(x, 2)[0],
        "sum": pycnn.lp_pool2d(x, 1.0, 2)[0],
        "L2": pycnn.lp_pool2d(x, 2.0, 2)[0],
    }
    p.grid(20, 64, TO_POOL, 44)
    p.note(108, 262, "a 4\N{MULTIPLICATION SIGN}4 map")
    p.arrow(210, 152, 250, 152)
    places = [(270, 46), (490, 46), (270, 176), (490, 176)]
    for (name, values), (left, top) in zip(pooled.items(), places, strict=True):
        p.left(left, top - 14, name, font_weight="bold")
        p.grid(left, top, values, 46, lambda v: SHADE, size=13)
    for i, j in np.ndindex(2, 2):
        window = x[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel()
        with p.step():
            p.frame(20 + 88 * j, 64 + 88 * i, 88, 88)
            for name, (left, top) in zip(pooled, places, strict=True):
                p.frame(left + 46 * j, top + 46 * i, 46, 46)
                p.left(left + 102, top + 46, _worked(name, window), font_size=13, fill=QUIET)
    return p


def _worked(name: str, window: np.ndarray) -> str:
    """How a window is pooled."""
    values = [number(v) for v in window]
    return {
        "largest": "of " + ", ".join(values),
        "mean": f"({'+'.join(values)}) / 4",
        "sum": "+".join(values),
        "L2": "\N{SQUARE ROOT}" + f"({'+'.join(number(v * v) for v in window)})",
    }[name]


def shift() -> Picture:
    p = Picture(640, 330, "A shift by one pixel that pooling does not see")
    first = np.zeros((4, 6))
    first[0:3, 0] = 9, 7, 5
    first[2, 4] = 8
    for k, x in enumerate((first, np.roll(first, 1, axis=1))):
        top = 40 + 150 * k
        p.left(20, top - 16, "a map" if k == 0 else "the same, one pixel to the right",
               fill=QUIET, font_size=13)  # fmt: skip
        p.grid(20, top, x, 28, lambda v: mixed(POSITIVE, v / 12))
        for i, j in np.ndindex(2, 3):
            p.box(20 + 56 * j, top + 56 * i, 56, 56, fill="none", stroke=MARK, stroke_width=2)
        p.arrow(206, top + 56, 330, top + 56)
        p.note(268, top + 40, "largest of 2\N{MULTIPLICATION SIGN}2")
        p.grid(
            350, top + 14, pycnn.max_pool2d(x[None], 2)[0], 42, lambda v: mixed(POSITIVE, v / 12)
        )
    p.head(560, 130, "the same")
    p.note(560, 152, "number by number")
    return p


def softmax() -> Picture:
    p = Picture(660, 260, "Softmax makes probabilities of scores")
    scores = np.array(SCORES)
    chances = pycnn.softmax(scores[None], axis=1)[0]
    powers = np.exp(scores)
    for x, name in ((60, "score"), (190, "exp"), (320, "/ sum")):
        p.head(x, 24, name)
    for i, (z, e, c) in enumerate(zip(scores, powers, chances, strict=True)):
        y = 60 + 44 * i
        p.text(60, y, number(z, 1))
        p.text(190, y, number(e, 3))
        p.text(320, y, number(c, 3))
        p.arrow(90, y, 150, y, QUIET)
        p.arrow(228, y, 282, y, QUIET)
        p.box(370, y - 12, 250 * float(c), 24, fill=mixed(NEGATIVE, 0.75))
    p.line(370, 40, 370, 212, LINES)
    p.note(190, 236, f"sum {number(powers.sum(), 3)}")
    p.note(320, 236, "sum 1")
    return p


def error() -> Picture:
    p = Picture(680, 280, "Half the sum of squared differences: 0.55, and after a step 0.06")
    for k, (name, output) in enumerate((("before", OUTPUT), ("after a step", BETTER))):
        left = 40 + 330 * k
        loss = float(pycnn.sum_of_half_squares(np.array(output), np.array(TARGET, float)))
        p.head(left + 135, 24, f"{name}: {number(loss)}")
        for i, (o, t) in enumerate(zip(output, TARGET, strict=True)):
            x = left + 70 * i
            p.box(x, 210 - 150 * o, 40, 150 * o, fill=mixed(NEGATIVE, 0.7))
            p.text(x + 20, 198 - 150 * o, number(o), font_size=13)
            p.line(x - 5, 210 - 150 * t, x + 45, 210 - 150 * t, POSITIVE, stroke_width=3)
            p.note(x + 20, 230, f"class {i}")
        p.line(left - 8, 210, left + 260, 210, LINES)
    p.box(215, 252, 14, 14, fill=mixed(NEGATIVE, 0.7))
    p.left(235, 259, "output", font_size=13)
    p.line(345, 259, 375, 259, POSITIVE, stroke_width=3)
    p.left(382, 259, "target", font_size=13)
    return p


def learned_filter() -> Picture:
    p = Picture(720, 210, "A filter learned by back-propagation: from random numbers to 1, 0, -1")
    for k, (step, weight, loss) in enumerate(_learned((0, 5, 20, 50))):
        left = 20 + 176 * k
        p.head(left + 72, 22, "at random" if step == 0 else f"step {step}")
        p.grid(left, 40, weight, 46, signed(1.4), size=13)
        p.note(left + 69, 196, f"error {loss:.2g}")
    return p


def _learned(shown: tuple[int, ...]) -> list[tuple[int, np.ndarray, float]]:
    """The filter, and the error, at some steps; as docs/after-a-convolution.md does it."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 1, 8, 8))
    target = pycnn.conv2d(images, np.array([[TRUTH]], float))
    layer = nn.Conv2d(1, 1, 3, bias=False, dtype="float64")
    layer.params["weight"] = rng.normal(size=(1, 1, 3, 3))
    loss, optimizer = nn.MSELoss(), nn.SGD(layer, lr=0.1)
    found = []
    for step in range(max(shown) + 1):
        value = float(loss.forward(layer.forward(images), target))
        if step in shown:
            found.append((step, layer.params["weight"][0, 0].copy(), value))
        layer.zero_grad()
        layer.backward(loss.backward())
        optimizer.step()
    return found
