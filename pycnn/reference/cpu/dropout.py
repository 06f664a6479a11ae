"""Dropout on the CPU: the numbers that kernels draw, for whole arrays."""

from typing import Any

import numpy as np

from pycnn.reference.cpu._common import quiet

Array = np.ndarray

#: Counters that are worked on together: a few arrays of them fit into a cache.
BLOCK = 2**14

_LOW = np.uint64(0xFFFFFFFF)


@quiet
def dropout(x: Array, seed: int, offset: int, threshold: int, scale: float, span: int,
            out: Any = None) -> Array:  # fmt: skip
    """x, with runs of `span` elements set to zero whose number is below `threshold`, times `scale`.

    The other arguments are those of `pycnn.plan.dropout.Mask`.
    """
    numbers = random_numbers(x.size // span if x.size else 0, seed, offset)
    factors = np.where(numbers < threshold, 0, scale).astype(x.dtype)
    if span > 1:
        factors = np.repeat(factors, span)
    return np.asarray(np.multiply(x, factors.reshape(x.shape), out=out))


def random_numbers(count: int, seed: int, offset: int) -> Array:
    """The first numbers of Philox4x32-10 for the counters (0, offset), (1, offset), ...

    Parameters
    ----------
    count : int
    seed : int
        The key, of 64 bits.
    offset : int
        Upper half of the counters, of 64 bits.

    Returns
    -------
    array of uint32

    Examples
    --------
    >>> [hex(n) for n in random_numbers(4, 0, 0).tolist()]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    drawn = np.empty((-(-count // 4), 4), np.uint32)
    for start in range(0, len(drawn), BLOCK):
        counters = np.arange(start, min(start + BLOCK, len(drawn)), dtype=np.uint64)
        drawn[start : start + BLOCK] = np.stack(_philox(counters, seed, offset), axis=-1)
    return drawn.reshape(-1)[:count]


def _philox(counters: Array, seed: int, offset: int) -> list[Array]:
    """Ten rounds; all words are kept in 64 bits, of which the upper half is zero."""
    half = np.uint64(32)
    words = [counters & _LOW, counters >> half]
    words += [np.full_like(counters, part) for part in (offset & 0xFFFFFFFF, offset >> 32)]
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (second >> half) ^ words[1] ^ np.uint64(keys[0]),
            second & _LOW,
            (first >> half) ^ words[3] ^ np.uint64(keys[1]),
            first & _LOW,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words
