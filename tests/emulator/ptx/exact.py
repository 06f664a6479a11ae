"""Floating-point arithmetic in exact fractions: what the tests of PTX expect."""

import math
from fractions import Fraction

import numpy as np

#: Bits of the significand, exponent of the smallest subnormal, largest exponent of two.
FORMATS = {
    "f16": (11, -24, 15),
    "bf16": (8, -133, 127),
    "f32": (24, -149, 127),
    "f64": (53, -1074, 1023),
}
DTYPES = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def to_integer(value: Fraction, mode: str) -> int:
    """The integer that a rounding mode takes for a fraction."""
    below = math.floor(value)
    if value == below:
        return below
    if mode == "rm":
        return below
    if mode == "rp":
        return below + 1
    if mode == "rz":
        return below if value > 0 else below + 1
    rest = value - below
    if rest == Fraction(1, 2):
        return below + below % 2 if mode == "rn" else below + (value > 0)  # rna: away from zero
    return below + (rest > Fraction(1, 2))


def rounded(value: Fraction, form: str, mode: str) -> Fraction | float:
    """A fraction in a format: itself rounded, or an infinity."""
    precision, smallest, largest = FORMATS[form]
    if value == 0:
        return value
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - precision + 1, smallest)
    found = to_integer(value / unit, mode) * unit
    limit = (2 - Fraction(2) ** (1 - precision)) * Fraction(2) ** largest
    if abs(found) <= limit:
        return found
    finite = mode == "rz" or (mode == "rm" and value > 0) or (mode == "rp" and value < 0)
    return (limit if value > 0 else -limit) if finite else (math.inf if value > 0 else -math.inf)


def square_root(value: Fraction, form: str, mode: str) -> Fraction | float:
    """A root, rounded: from integers so long that what is cut off decides nothing but its being
    there."""
    scale = 400
    n = value.numerator * value.denominator << 2 * scale
    root = math.isqrt(n)
    exact = Fraction(2 * root + (root * root != n), 2 * value.denominator << scale)
    return rounded(exact, form, mode)


def of_bf16(bits: np.ndarray) -> np.ndarray:
    """bfloat16 as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """float32 that fit bfloat16, as its bits."""
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
