"""What is special to unfold and fold."""

import numpy as np
import pytest
from op_checks import far_apart, numeric_gradient, refused_on_both

import pycnn
from pycnn.reference.oracle import unfold as oracle

WINDOW = {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 2), "stride": (1, 2)}
ARGUMENTS = ((2, 3), (2, 1), (1, 2), (1, 2))


def test_integers_move_as_they_are(backend, rng):
    x = rng.integers(-(2**62), 2**62, (2, 3, 5, 4))
    columns = backend.numpy(pycnn.unfold(backend.array(x), 2, stride=2))
    expected = x[:, :, :4].reshape(2, 3, 2, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4)
    np.testing.assert_array_equal(columns, expected.reshape(2, 12, 4))


def test_each_is_the_transpose_of_the_other(backend, rng):
    x = rng.standard_normal((2, 3, 5, 6))
    columns = backend.numpy(pycnn.unfold(backend.array(x), **WINDOW))
    other = rng.standard_normal(columns.shape)
    folded = backend.numpy(pycnn.fold(backend.array(other), (5, 6), **WINDOW))
    assert np.vdot(columns, other) == pytest.approx(np.vdot(x, folded))


def test_gradient_of_the_oracle_by_differences(rng):
    x = rng.standard_normal((1, 2, 4, 3))
    dy = rng.standard_normal(oracle.unfold(x, *ARGUMENTS).shape)
    wanted = numeric_gradient(lambda moved: (oracle.unfold(moved, *ARGUMENTS) * dy).sum(), x)
    np.testing.assert_allclose(oracle.fold(dy, (4, 3), *ARGUMENTS), wanted, atol=1e-8)


def test_not_a_number_stays_in_its_windows(backend):
    x = np.ones((1, 1, 3, 3))
    x[0, 0, 0, 0] = np.nan
    columns = backend.numpy(pycnn.unfold(backend.array(x), 2))
    assert np.isnan(columns[0]).sum() == 1
    folded = backend.numpy(pycnn.fold(backend.array(columns), 3, 2))
    assert np.isnan(folded).sum() == 1


def test_rows_wider_than_shared_memory(backend, rng):
    x = rng.standard_normal((1, 1, 3, 13000)).astype(np.float32)
    columns = backend.numpy(pycnn.unfold(backend.array(x), 2))
    np.testing.assert_array_equal(columns, oracle.unfold(x, (2, 2), (1, 1), (0, 0), (1, 1)))
    ones = backend.array(np.ones(columns.shape, np.float32))
    folded = backend.numpy(pycnn.fold(ones, (3, 13000), 2))
    assert folded[0, 0, :, [0, 1]].tolist() == [[1, 2, 1], [2, 4, 2]]


def test_offsets_beyond_2_to_the_31():
    x = np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3)
    columns = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    with pycnn.use_backend("emulator", checked=False):
        np.testing.assert_array_equal(pycnn.unfold(far_apart(x), 2), pycnn.unfold(x, 2))
        np.testing.assert_array_equal(
            pycnn.fold(far_apart(columns), 3, 2), pycnn.fold(columns, 3, 2)
        )


X = np.zeros((1, 4, 5, 6), np.float32)
COLUMNS = np.zeros((1, 8, 20), np.float32)

BAD = {
    "kernel": (lambda: pycnn.unfold(X, 0), ValueError, "kernel_size=0; allowed: int >= 1"),
    "three": (lambda: pycnn.unfold(X, (1, 2, 3)), ValueError, r"kernel_size=\(1, 2, 3\); allowed"),
    "dilation": (lambda: pycnn.unfold(X, 2, 0), ValueError, "dilation=0; allowed: int >= 1"),
    "padding": (lambda: pycnn.unfold(X, 2, padding=-1), ValueError, "padding=-1; allowed"),
    "stride": (lambda: pycnn.unfold(X, 2, stride=1.5), TypeError, "stride=1.5 is of type float"),
    "no window": (lambda: pycnn.unfold(X, 6), ValueError, r"kernel_size=\(6, 6\).*5x6"),
    "rows": (lambda: pycnn.fold(COLUMNS, (5, 6), 3), ValueError, "a multiple of 9"),
    "columns": (lambda: pycnn.fold(COLUMNS, (5, 7), 2), ValueError, "allowed: 24 columns"),
    "output": (lambda: pycnn.fold(COLUMNS, 0, 2), ValueError, "output_size=0; allowed: int >= 1"),
    "integers": (lambda: pycnn.fold(COLUMNS.astype(int), (5, 6), 2), TypeError, "has dtype int64"),
}


test_bad_input = refused_on_both(BAD)
