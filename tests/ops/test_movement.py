"""What is special to permute, concat, split and channel_shuffle."""

import numpy as np
import pytest
from op_checks import counted, far_apart, refused_on_both, view_of

import pycnn
from pycnn.dtypes import FLOATS, MOVABLE, numpy_dtype
from pycnn.emulator import counting
from pycnn.testing import TESTED

INTEGERS = [name for name in MOVABLE if name not in FLOATS]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_move_as_they_are(backend, rng, dtype):
    x = rng.integers(0, 2 if dtype == "bool" else 2**62, (4, 6, 5)).astype(dtype)
    given = backend.array(x)
    results = {
        "permute": (pycnn.permute(given, (2, 0, 1)), x.transpose(2, 0, 1)),
        "concat": (pycnn.concat([given, given[:, :1]], 1), np.concatenate([x, x[:, :1]], 1)),
        "shuffle": (pycnn.channel_shuffle(given, 3), x[:, [0, 2, 4, 1, 3, 5]]),
    }
    for actual, expected in results.values():
        assert actual.dtype == dtype
        np.testing.assert_array_equal(backend.numpy(actual), expected)


def test_not_a_number_keeps_its_bits(backend):
    bits = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000], np.uint32)
    x = bits.view(np.float32).reshape(2, 2)
    y = backend.numpy(pycnn.permute(backend.array(x), (1, 0)))
    assert y.view(np.uint32).ravel().tolist() == bits.reshape(2, 2).T.ravel().tolist()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_addresses_that_are_no_multiple_of_a_unit(backend, rng, dtype):
    parts = [(rng.standard_normal((3, width)) * 50).astype(dtype) for width in (16, 32)]
    given = [backend.array(view_of(part, "misaligned")) for part in parts]
    y = backend.numpy(pycnn.concat(given, 1))
    np.testing.assert_array_equal(y, np.concatenate(parts, 1))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("kind", ["contiguous", "misaligned"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 72, 3, 40), (0, 2, 3, 1)), ((36, 3, 2, 300), (2, 1, 3, 0)), ((520, 44), (1, 0))],
)
def test_transposes_by_vectors(backend, rng, shape, axes, kind, dtype):
    """Squares of 16 and of 8 bytes, more than one tile either way, further axes, ragged tiles."""
    x = rng.standard_normal(shape).astype(dtype)
    op = TESTED["permute"].op
    assert op.plan(op.describe({"x": x}, axes=axes)).algo == "transpose_vectors"
    y = backend.numpy(pycnn.permute(backend.array(view_of(x, kind)), axes))
    np.testing.assert_array_equal(y, x.transpose(axes))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["contiguous", "misaligned"])
@pytest.mark.parametrize(
    ("shape", "axes", "entry"),
    [
        ((2, 1136, 7, 5), (0, 2, 3, 1), "transpose_to_vectors"),
        ((2, 9, 5, 16), (0, 3, 1, 2), "transpose_from_vectors"),
        ((3, 3, 4, 4), (0, 2, 3, 1), "transpose_from_vectors"),
        ((2, 3, 32, 5, 3), (1, 0, 3, 4, 2), "transpose_to_vectors"),
    ],
)
def test_maps_that_are_no_whole_vectors(backend, rng, shape, axes, entry, kind, dtype):
    """Several tiles, of which the last is short, few rows, further axes in another order."""
    x = (rng.standard_normal(shape) * 50).astype(dtype)
    op = TESTED["permute"].op
    assert op.plan(op.describe({"x": x}, axes=axes)).algo == entry
    y = backend.numpy(pycnn.permute(backend.array(view_of(x, kind)), axes))
    np.testing.assert_array_equal(y, x.transpose(axes))


def test_maps_move_by_vectors(rng):
    """Tiles of 20 vectors meet in banks, those of 8 do not, and are predicted to take longer."""
    x = rng.standard_normal((1, 512, 7, 7)).astype(numpy_dtype("bfloat16"))
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        y = pycnn.permute(x, (0, 2, 3, 1))
        pycnn.permute(y, (0, 3, 1, 2))
    for _, counters in log.launches:
        assert counters.bytes_moved == 2 * x.nbytes
        assert counters.global_store_sectors * 32 == x.nbytes
        assert counters.sectors_per_load > 14
        requests = counters.shared_load_requests + counters.shared_store_requests
        assert counters.bank_conflicts < 2 * requests


def test_parts_are_views(backend):
    x = backend.array(np.zeros((4, 3), np.float32))
    first, second = pycnn.split(x, (1, 3))
    second[...] = 7
    first[0, 0] = 5
    assert backend.numpy(x).tolist() == [[5, 0, 0], [7, 7, 7], [7, 7, 7], [7, 7, 7]]


def test_split_and_concat_are_the_gradients_of_each_other(backend, rng):
    x = backend.array(rng.standard_normal((2, 7, 3)))
    y = pycnn.concat(pycnn.split(x, (3, 0, 4), 1), 1)
    np.testing.assert_array_equal(backend.numpy(y), backend.numpy(x))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_second_shuffle_puts_channels_back(backend, rng, layout):
    x = backend.array(rng.standard_normal((2, 6, 5, 6)))
    once = pycnn.channel_shuffle(x, 2, layout=layout)
    y = pycnn.channel_shuffle(once, 3, layout=layout)
    np.testing.assert_array_equal(backend.numpy(y), backend.numpy(x))


def test_offsets_beyond_2_to_the_31():
    x = far_apart(np.arange(12, dtype=np.float32).reshape(2, 2, 3))
    with pycnn.use_backend("emulator", checked=False):
        turned = pycnn.permute(x, (0, 2, 1))
        assert turned.tolist() == np.arange(12.0).reshape(2, 2, 3).transpose(0, 2, 1).tolist()
        joined = pycnn.concat([x, x], 2)
        assert joined[:, :, 3:].tolist() == np.arange(12.0).reshape(2, 2, 3).tolist()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_tiles_meet_no_bank_twice(backend, rng, dtype):
    x = backend.array(rng.standard_normal((1, 32, 64, 64)).astype(dtype))
    with counted(backend) as log:
        pycnn.permute(x, (0, 3, 1, 2))
    traffic = log.total
    assert traffic.bank_conflicts == 0
    assert traffic.bytes_moved == traffic.bytes_necessary
    if np.dtype(dtype).itemsize in (2, 4):  # 16 bytes a lane both ways
        assert traffic.sectors_per_load == 16
        assert traffic.global_store_requests == x.nbytes // (16 * 32)


X = np.zeros((2, 6, 4), np.float32)

BAD = {
    "blocks of channels": (
        lambda: pycnn.pixel_shuffle(np.zeros((1, 6, 2, 2)), 2),
        ValueError,
        "upscale_factor=2; allowed: its square a divisor of the 6 channels",
    ),
    "blocks of no channels": (
        lambda: pycnn.pixel_shuffle(np.zeros((1, 0, 3, 5)), 2**31 - 1),
        ValueError,
        "upscale_factor=2147483647; allowed: less than 2\\^48 pixels",
    ),
    "blocks of pixels": (
        lambda: pycnn.space_to_depth(np.zeros((1, 1, 4, 5)), 2),
        ValueError,
        "block_size=2; allowed: a divisor of 4 and 5",
    ),
    "order of channels": (
        lambda: pycnn.depth_to_space(np.zeros((1, 4, 4, 4)), 2, "RCD"),
        ValueError,
        "mode='RCD'; allowed: DCR, CRD",
    ),
    "extent of a block": (
        lambda: pycnn.pixel_unshuffle(np.zeros((1, 4, 4, 4)), 0),
        ValueError,
        "downscale_factor=0",
    ),
    "axes and dims": (
        lambda: pycnn.permute(np.zeros((2, 3)), (1, 0), dims=(1, 0)),
        TypeError,
        "allowed: one of the two",
    ),
    "no axes": (lambda: pycnn.permute(np.zeros((2, 3))), TypeError, "axes=None"),
    "axes": (lambda: pycnn.permute(X, 1), TypeError, "axes=1; allowed: a sequence"),
    "axis twice": (lambda: pycnn.permute(X, (0, 0, 1)), ValueError, r"axes=\(0, 0, 1\).*once"),
    "axes too few": (lambda: pycnn.permute(X, (0, 1)), ValueError, r"axes=\(0, 1\).*x has 3"),
    "axes too large": (lambda: pycnn.permute(X, (0, 1, 3)), ValueError, "axes=3; allowed: -3 to 2"),
    "no list": (lambda: pycnn.concat(X), TypeError, "tensors is of type ndarray"),
    "none": (lambda: pycnn.concat([]), ValueError, "tensors is empty"),
    "a None": (lambda: pycnn.concat([X, None]), TypeError, r"tensors\[1\] is None"),
    "ranks": (lambda: pycnn.concat([X, X[0]]), ValueError, r"tensors\[1\] has shape \(6, 4\)"),
    "extents": (
        lambda: pycnn.concat([X, X[:, :2]]),
        ValueError,
        r"tensors\[1\] has shape \(2, 2, 4\).*but for axis 0",
    ),
    "scalars": (lambda: pycnn.concat([X[0, 0, 0:1].reshape(())]), ValueError, "at least one axis"),
    "axis": (lambda: pycnn.concat([X], 3), ValueError, "axis=3; allowed: -3 to 2"),
    "axis float": (lambda: pycnn.concat([X], 1.0), TypeError, "axis=1.0 is of type float"),
    "sections": (lambda: pycnn.split(X, (1, 2)), ValueError, "add up to 2, that of axis 0"),
    "section": (lambda: pycnn.split(X, 0), ValueError, "split_size_or_sections=0; allowed: int"),
    "negative": (lambda: pycnn.split(X, (3, -1)), ValueError, "split_size_or_sections=-1"),
    "split scalar": (lambda: pycnn.split(X[0, 0, 0:1].reshape(()), 1), ValueError, "one axis"),
    "groups": (lambda: pycnn.channel_shuffle(X, 4), ValueError, "groups=4; .*divisor of 6"),
    "no groups": (lambda: pycnn.channel_shuffle(X, 0), ValueError, "groups=0; allowed: int >= 1"),
    "layout": (lambda: pycnn.channel_shuffle(X, 2, layout="CHW"), ValueError, "layout='CHW'"),
    "overlap": (
        lambda: pycnn.permute(X, (0, 1, 2), out=X),
        ValueError,
        "out shares memory with x",
    ),
}


test_bad_input = refused_on_both(BAD)
