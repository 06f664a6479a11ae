"""Convolutions to test: one table, in the words of the bench, each of which reruns its case.

``pytest -k n2c3h7w9k5r3s2p1`` runs one case; ``pycnn bench --shape n2c3h7w9k5r3s2p1`` measures it.
All extents differ where they can, and none is a multiple of a tile.
"""

from collections.abc import Callable, Iterator

import numpy as np

from pycnn.bench.cases import ConvCase
from pycnn.bench.grammar import parse
from pycnn.plan import conv
from pycnn.plan.coarse import COARSE
from pycnn.testing.tested import normal

CASES = [
    parse(ConvCase, word)
    for word in (
        "n2c3h7w9k5r3s2p1",  # rectangular filter
        "n1c5h11w8k7r3s3p1x0x0x2u2x1",  # asymmetric padding
        "n2c4h13w10k6r3s3p2d2x3",  # dilation
        "n3c6h9w7k9r2s4p1u3x2d2x1g3",  # groups, stride and dilation at once
        "n1c4h12w11k3r4s3p2x3u4x2d2x3",  # strides with common factors of the dilation, and without
        "n2c7h10w9k7r3s3p1g7",  # depthwise
        "n2c5h6w8k10r5s5p2u2g5",  # depthwise with two filters a channel
        "n3c11h5w7k13r1s1",  # a matrix product as it stands
        "n2c6h5w7k9r1s1g3",  # the same in groups
        "n1c4h7w9k3r1s1u2",  # 1x1, but strided
        "n2c3h5w4k6r5s4",  # filter as large as the input
        "n1c1h6w5k1r2s2p1",  # one of everything
        "n1c2h9w8k3r2s2u3",  # pixels between the windows
        "n1c2h3w4k5r3s3p3",  # windows in the padding alone
        "n1c2h17w37k35r3s3p1",  # several tiles of pixels and of filters
        "n2c19h9w7k5r4s4p1x2x2x1u2d1x2",  # more channels than are staged at a time
        "n1c8h13w9k2r11s3p5x1",  # more filter rows than are staged at a time
    )
]

#: Few for what does not depend on the shape: groups, stride, dilation, padding; and 1x1.
SMALL = [parse(ConvCase, w) for w in ("n2c4h6w7k6r3s2p1x0x0x2u2x1d1x2g2", "n3c5h4w3k7r1s1")]


def geometry(case: ConvCase) -> tuple:
    """(stride, padding, dilation, groups), in the order of every function here."""
    return case.stride, case.padding, case.dilation, case.groups


def arrays(case: ConvCase, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
    """Random x, weight, bias and dy."""
    shapes = {"x": case.x_shape, "weight": case.w_shape, "bias": (case.k,), "dy": case.y_shape}
    return {name: normal(rng, shape, dtype) for name, shape in shapes.items()}


def terms(case: ConvCase) -> dict[str, int]:
    """Length of the sums behind each result."""
    taps, summed = case.r * case.s, case.n * case.p * case.q
    per_group = {"y": case.c // case.groups * taps, "dx": case.k // case.groups * taps}
    return {**per_group, "dweight": summed, "dbias": summed}


def by_each_algorithm(
    backend: object, direction: str, call: Callable[[str], object]
) -> Iterator[tuple[str, object]]:
    """What `call` returns for every name that `algo` may have, left out those that do not fit.

    Nor those that round float32: test_implicit_gemm_tf32.py has them.

    On the reference backend that is "auto" alone.
    """
    if backend.name == "reference":
        yield "auto", call("auto")
        return
    for name in ("auto", *(n for n in conv.names(direction) if n not in COARSE)):
        try:
            result = call(name)
        except ValueError as error:
            refusal = f"algo={name!r} does not fit; {name}: "
            if name in ("auto", "direct") or refusal not in str(error):
                raise
        else:
            yield name, result
