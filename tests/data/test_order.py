"""Orders and splits that are the same everywhere."""

import numpy as np
import pytest

from pycnn.data.order import rank_in_class, shuffled, split


@pytest.mark.parametrize("seed", [0, 7, (3, 1)])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_order_is_that_of_the_raw_numbers(count: int, seed: int | tuple[int, int]) -> None:
    numbers = np.random.PCG64(seed)
    keyed = [(int(numbers.random_raw()), index) for index in range(count)]
    assert shuffled(count, seed).tolist() == [index for _, index in sorted(keyed)]


def test_other_seeds_give_other_orders() -> None:
    orders = {tuple(shuffled(100, seed)) for seed in [0, 1, (0, 1), (1, 1)]}
    assert len(orders) == 4


def test_rank_counts_equal_labels_before(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 7, 200)
    expected = [int((labels[:place] == label).sum()) for place, label in enumerate(labels)]
    assert rank_in_class(labels).tolist() == expected


def test_a_split_has_the_share_of_every_class_and_every_image_once(
    rng: np.random.Generator,
) -> None:
    labels = rng.permutation(np.repeat([0, 1, 3], [50, 20, 10]))
    train, test = split(labels, share=0.3, seed=5)
    assert np.bincount(labels[test]).tolist() == [15, 6, 0, 3]
    assert sorted([*train, *test]) == list(range(80))
    assert (labels[train][:20] != labels[train][0]).any()  # shuffled, not class by class
    np.testing.assert_array_equal(split(labels, 0.3, seed=5)[0], train)
    assert (split(labels, 0.3, seed=6)[0] != train).any()
