"""Orders that are the same everywhere and for ever.

They come from the raw numbers of a bit generator, which NumPy promises to keep, and not from
`Generator.permutation`, which it may change (NEP 19).
"""

from collections.abc import Sequence

import numpy as np


def shuffled(count: int, seed: int | Sequence[int]) -> np.ndarray:
    """The numbers below `count` in an order that depends on `count` and `seed` alone.

    Examples
    --------
    >>> shuffled(5, seed=0)
    array([3, 2, 1, 0, 4])
    """
    keys = np.random.PCG64(seed).random_raw(count)
    return np.argsort(keys, kind="stable")


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """For every label, how many equal ones come before it.

    Examples
    --------
    >>> rank_in_class(np.array([7, 2, 7, 7, 2]))
    array([0, 0, 1, 2, 1])
    """
    by_label = np.argsort(labels, kind="stable")
    counts = np.unique(labels, return_counts=True)[1]
    ranks = np.empty(len(labels), np.int64)
    ranks[by_label] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def split(labels: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a test part, each shuffled; `share` of every class is for testing.

    Examples
    --------
    >>> train, test = split(np.array([0, 0, 0, 0, 1, 1, 1, 1]), share=0.25)
    >>> len(train), sorted(int(label) for label in test // 4)
    (6, [0, 1])
    """
    order = shuffled(len(labels), seed)
    tests = np.round(share * np.bincount(labels)).astype(np.int64)
    is_test = rank_in_class(labels[order]) < tests[labels[order]]
    return order[~is_test], order[is_test]
