"""What is special to dropout: which elements are dropped, on every backend, and how many."""

import numpy as np
import pytest
from op_checks import refused_on_both, view_of

import pycnn
from pycnn import nn
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.reference.cpu.dropout import random_numbers
from pycnn.reference.oracle.dropout import philox

#: Counter, key and result of Philox4x32-10 as its authors publish them (Random123, kat_vectors).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "want"), KNOWN)
def test_known_answers(counter, key, want):
    words = sum(word << 32 * i for i, word in enumerate(counter))
    assert tuple(philox(words, key[0] | key[1] << 32)) == want


def test_cpu_numbers_are_the_oracles():
    seed, offset = 0x299F31D0A4093822, 0x0370734413198A2E
    want = [n for low in range(5) for n in philox(low | offset << 64, seed)]
    assert random_numbers(19, seed, offset).tolist() == want[:19]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["contiguous", "misaligned", "reversed"])
def test_same_elements_everywhere(backend, dtype, kind):
    """Bit for bit: the numbers decide, however elements are reached."""
    seed, offset, p = 2**63 + 11, 2**40 + 5, 0.3
    x = view_of(np.arange(1, 2302).astype(numpy_dtype(dtype)), kind)
    numbers = [n for low in range(576) for n in philox(low | offset << 64, seed)]
    kept = np.array(numbers[: x.size]) >= round(p * 2**32)
    wide = np.dtype(FLOATS[dtype].accumulate).type
    want = (x.astype(wide) * np.where(kept, wide(1 / (1 - p)), wide(0))).astype(x.dtype)
    for function in (pycnn.dropout, pycnn.dropout_backward):
        got = backend.numpy(function(*backend.views(x), p, seed=seed, offset=offset))
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("plane", [(3, 5), (4, 8)], ids=str)
def test_whole_channels(backend, plane):
    x = np.ones((6, 7, *plane), np.float32)
    y = backend.numpy(pycnn.dropout2d(*backend.views(x), 0.25, seed=3)).reshape(42, -1)
    kept = random_numbers(42, 3, 0) >= 2**30
    np.testing.assert_array_equal(y, np.where(kept, np.float32(1 / 0.75), 0)[:, None] + 0 * y)
    dx = pycnn.dropout2d_backward(*backend.views(x), 0.25, seed=3)
    np.testing.assert_array_equal(backend.numpy(dx).reshape(42, -1), y)


@pytest.mark.parametrize("name", ["dropout", "dropout2d"])
def test_without_a_seed_calls_go_through_the_masks_of_one(backend, name):
    x, function = backend.array(np.ones((3, 40, 2, 2), np.float32)), getattr(pycnn, name)
    pycnn.manual_seed(11)
    for offset in range(3):
        function(x, training=False)  # draws nothing
        got = backend.numpy(function(x))
        want = backend.numpy(function(x, seed=11, offset=offset))
        np.testing.assert_array_equal(got, want)
    pycnn.manual_seed(12)
    want = backend.numpy(function(x, seed=12))
    np.testing.assert_array_equal(backend.numpy(function(x)), want)
    assert not np.array_equal(want, got)


def test_manual_seed_is_that_of_layers_too():
    def weights():
        pycnn.manual_seed(4)
        return nn.Linear(2, 3).params["weight"], nn.Dropout().seed

    first, again = weights(), weights()
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert nn.Dropout().seed != again[1]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_as_many_as_asked_for(p):
    count = 200_000
    dropped = [
        pycnn.dropout(np.ones(count, np.float32), p, seed=5, offset=offset) == 0
        for offset in range(2)
    ]
    spread = np.sqrt(p * (1 - p) / count)
    for one in dropped:
        assert abs(one.mean() - p) < 5 * spread
        assert abs((one[1:] & one[:-1]).mean() - p * p) < 5 * spread  # neighbours
    both = (dropped[0] & dropped[1]).mean()
    assert abs(both - p * p) < 5 * spread  # offsets


def test_scale_keeps_the_mean():
    y = pycnn.dropout(np.ones(100_000), 0.2, seed=9)
    assert set(np.unique(y)) == {0.0, 1 / 0.8}
    assert y.mean() == pytest.approx(1, abs=0.01)


def test_nothing_and_everything_dropped(backend):
    x = np.array([1.0, -2.0, np.inf, np.nan])
    for settings in ({"p": 0.0}, {"training": False}, {"p": 1.0, "training": False}):
        y = pycnn.dropout(*backend.views(x), seed=1, **settings)
        np.testing.assert_array_equal(backend.numpy(y), x)
    y = pycnn.dropout(*backend.views(x), 1.0, seed=1)
    np.testing.assert_array_equal(backend.numpy(y), [0, 0, np.nan, np.nan])


def test_dropped_like_pytorch():
    """A dropped NaN or infinity is NaN, since PyTorch multiplies by zero."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    x = torch.tensor([1.0, torch.inf, torch.nan])
    got = pycnn.dropout(x.numpy(), 1.0, seed=0)
    np.testing.assert_array_equal(got, torch.nn.functional.dropout(x, 1.0).numpy())


X = np.zeros((2, 6), np.float32)
BAD = {
    "p": (lambda: pycnn.dropout(X, 1.5, seed=0), ValueError, "p=1.5; allowed: 0 to 1"),
    "NaN": (lambda: pycnn.dropout(X, np.nan, seed=0), ValueError, "p=nan"),
    "training": (lambda: pycnn.dropout(X, 0.5, 1, seed=0), TypeError, "training=1 is of type int"),
    "seed": (lambda: pycnn.dropout(X, seed=-1), ValueError, "seed=-1; allowed: int >= 0"),
    "large seed": (
        lambda: pycnn.dropout(X, seed=2**64),
        ValueError,
        r"seed=18446744073709551616; allowed: int from 0 to 18446744073709551615",
    ),
    "no seed": (
        lambda: pycnn.dropout_backward(X, seed=None),
        TypeError,
        "seed=None is of type NoneType",
    ),
    "offset alone": (lambda: pycnn.dropout(X, offset=3), ValueError, "offset=3 without seed"),
    "manual seed": (lambda: pycnn.manual_seed(2**64), ValueError, "seed=18446744073709551616"),
    "no manual seed": (lambda: pycnn.manual_seed(None), TypeError, "seed=None is of type NoneType"),
    "offset": (lambda: pycnn.dropout(X, seed=0, offset=0.5), TypeError, "offset=0.5 is of type"),
    "rank": (lambda: pycnn.dropout2d(X, seed=0), ValueError, r"x has shape \(2, 6\) \(rank 2\)"),
}


test_bad_input = refused_on_both(BAD)
