"""8-bit floats by `wgmma`, with scales: exact where sums are, and what lies beyond the edges."""

import numpy as np
import pytest
from hopper import on_hopper, spaced
from op_checks import assert_matches, counted

import pycnn
from pycnn.define.gemm_scaled import RESULTS
from pycnn.dtypes import numpy_dtype
from pycnn.plan import _wgmma
from pycnn.reference.oracle.gemm import scaled_mm as oracle
from pycnn.runtime.target import planned_for, target

E4M3, E5M2 = (numpy_dtype(name) for name in ("float8_e4m3fn", "float8_e5m2"))
#: More than one tile in each direction, and a multiple of none but what strides need.
M, N, K = 136, 264, 208

on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)
pytestmark = pytest.mark.usefixtures(on_hopper.__name__)


def operands(rng, m=M, n=N, k=K, a=E4M3, b=E4M3, **more):
    """Of any size, with scales that matter; `b` by columns."""
    return {
        "a": rng.standard_normal((m, k)).astype(a),
        "b": rng.standard_normal((n, k)).astype(b).T,
        "scale_a": np.array(0.37, np.float32),
        "scale_b": np.array([1.9], np.float32),
        **more,
    }


def check(backend, given, **settings):
    """The public function gives what the oracle says."""
    dtype = settings.get("output_dtype", "bfloat16")
    views = {name: backend.array(array) for name, array in given.items()}
    got = pycnn.scaled_mm(**views, **{"algo": "wgmma", **settings})
    assert_matches(got, oracle(**given), dtype, given["a"].shape[1], backend)


@on_kernels
@pytest.mark.parametrize("dtype", RESULTS)
@pytest.mark.parametrize("tile", _wgmma.TILES, ids=str)
def test_matches_the_oracle(backend, rng, monkeypatch, tile, dtype):
    monkeypatch.setattr(_wgmma, "TILES", (tile,))
    bias = rng.standard_normal(N).astype(numpy_dtype(dtype))
    check(backend, operands(rng, bias=bias), output_dtype=dtype)


@checked
@pytest.mark.parametrize(("a", "b"), [(E4M3, E5M2), (E5M2, E4M3)], ids=str)
def test_types(backend, rng, a, b):
    check(backend, operands(rng, 40, 72, a=a, b=b))


@checked
@pytest.mark.parametrize("shape", [(1, 1, 16), (5, 7, 32), (131, 67, 2), (3, 65, 133)], ids=str)
def test_extents_are_any(backend, rng, shape):
    """What has to be a multiple of 16 is the stride from a row to the next."""
    given = spaced(operands(rng, *shape))
    for dtype in ("bfloat16", "float32"):
        check(backend, given, output_dtype=dtype)


@on_kernels
def test_every_number(backend):
    """All 256 of each type, by both algorithms: infinities and NaN are what they are."""
    bits = np.arange(256, dtype=np.uint8)
    one = np.zeros((16, 16), E4M3)
    np.fill_diagonal(one, 1)
    scales = np.float32(1), np.float32(1)
    for dtype in (E4M3, E5M2):
        a = bits.view(dtype).reshape(16, 16)
        # A row with a NaN or an infinity is one of NaN, by whatever zero it is multiplied.
        with np.errstate(invalid="ignore"):
            want = np.einsum("mk,kn->mn", a.astype("f8"), one.astype("f8"))
        for algo in ("wgmma", "direct"):
            y = pycnn.scaled_mm(
                backend.array(a), backend.array(one).T, *map(backend.array, scales),
                output_dtype="float32", algo=algo,
            )  # fmt: skip
            np.testing.assert_array_equal(backend.numpy(y), want)


@checked
def test_alone_on_a_multiprocessor(backend, rng):
    """A block that has several tiles after each other, and a cluster of two that shares them."""
    for processors in (1, 2):
        with planned_for(target()._replace(processors=processors)):
            check(backend, operands(rng, 260, 72, 144))


@checked
def test_traffic(backend, rng):
    """Sums leave whole sectors, and no bank is asked twice."""
    with counted(backend) as log:
        check(backend, operands(rng, 128, 256, 128))
    assert log.total.global_bytes_written == 2 * 128 * 256
    assert log.total.global_store_requests == log.total.bank_conflicts == 0


@checked
def test_auto(backend, rng, monkeypatch):
    """Hopper's where it fits; a thread an output where strides, address or the GPU say no."""
    given = operands(rng, 24, 40, 64)
    check(backend, given, algo="auto")
    bits = np.zeros(24 * 64 + 1, np.uint8)
    moved = {**given, "a": bits[1:].view(E4M3).reshape(24, 64)}
    moved["a"][...] = given["a"]
    check(backend, moved, algo="auto")
    with pytest.raises(ValueError, match="16"):
        check(backend, moved)
    by_rows = {**given, "b": np.ascontiguousarray(given["b"])}
    check(backend, by_rows, algo="auto")
    with pytest.raises(ValueError, match="algo='wgmma' does not fit: element strides"):
        check(backend, by_rows)
    with pytest.raises(ValueError, match="does not fit: sums of one term; allowed: of several"):
        check(backend, {**given, "a": given["a"][:, :1], "b": given["b"][:1]})
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", "sm_80")
    check(backend, given, algo="auto")
    with pytest.raises(ValueError, match="does not fit: architecture sm_80; allowed: sm_90a"):
        check(backend, given)


def test_what_is_wrong_is_refused(rng):
    given = operands(rng, 3, 5, 16)
    for changed, error, message in (
        ({"b": given["b"][:7]}, ValueError, r"b has shape \(7, 5\); allowed: \(16, N\)"),
        (
            {"a": given["a"].astype(np.float16)},
            TypeError,
            "a has dtype float16; allowed for scaled",
        ),
        ({"scale_a": np.ones(3, np.float32)}, ValueError, r"scale_a has shape \(3,\)"),
        ({"scale_b": np.float64(1)}, TypeError, "scale_b has dtype float64"),
        ({"bias": np.ones(5, np.float32)}, TypeError, "bias has dtype float32; allowed: bfloat16"),
        ({"bias": np.ones(4, numpy_dtype("bfloat16"))}, ValueError, "one value per column"),
        ({"output_dtype": "float64"}, ValueError, "output_dtype='float64'"),
        ({"algo": "naive"}, ValueError, "algo='naive'"),
    ):
        with pytest.raises(error, match=message):
            pycnn.scaled_mm(**{**given, **changed})
    both = {**given, "a": given["a"].astype(E5M2), "b": given["b"].astype(E5M2)}
    with pytest.raises(TypeError, match="allowed: float8_e4m3fn for one of them"):
        pycnn.scaled_mm(**both)
