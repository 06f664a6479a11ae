"""Dropout in float64, with Philox4x32-10 in Python's integers."""

import numpy as np


def dropout(
    x: np.ndarray, seed: int, offset: int, threshold: int, scale: float, span: int
) -> np.ndarray:
    """x, with runs of `span` elements set to zero whose number is below `threshold`, times `scale`.

    The other arguments are those of `pycnn.plan.dropout.Mask`.
    """
    factors = np.empty(x.size)
    for group in range(-(-x.size // span)):
        if group % 4 == 0:
            numbers = philox(group // 4 | offset << 64, seed)
        kept = numbers[group % 4] >= threshold
        factors[group * span : (group + 1) * span] = scale if kept else 0.0
    return x.astype(np.float64) * factors.reshape(x.shape)


def philox(counter: int, key: int) -> list[int]:
    """Four 32-bit numbers from a counter of 128 bits and a key of 64.

    References
    ----------
    J. Salmon et al.: Parallel random numbers: as easy as 1, 2, 3, SC 2011, section 3.3.

    Examples
    --------
    >>> [hex(n) for n in philox(0, 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    mask = 2**32 - 1
    c = [counter >> 32 * i & mask for i in range(4)]
    k0, k1 = key & mask, key >> 32
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = k0 + 0x9E3779B9 & mask, k1 + 0xBB67AE85 & mask
    return c
