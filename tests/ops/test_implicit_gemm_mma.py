"""`implicit_gemm_mma` in all three directions, a plan at a time, against the oracle."""

import numpy as np
import pytest
from conv_plans import (
    DIRECTIONS,
    Case,
    Run,
    by_its_name,
    channels_last,
    deterministic,
    draw,
    misaligned,
    padded,
    view,
    with_end,
)
from op_checks import assert_matches

import pycnn
from pycnn.emulator import counting
from pycnn.plan import conv_implicit
from pycnn.plan._epilogue import Epilogue

#: Channels and filters of a group are multiples of eight; nothing is one of a tile.
CASES = {
    "3x2": Case(2, 16, 7, 9, 24, (3, 2)),
    "asymmetric": Case(1, 24, 11, 8, 40, (3, 3), ((0, 1), (2, 0)), stride=(2, 1)),
    "dilated": Case(2, 8, 13, 10, 16, (3, 3), ((2, 2), (2, 2)), dilation=(2, 3)),
    "everything": Case(3, 48, 9, 7, 24, (2, 4), groups=3, stride=(3, 2), dilation=(2, 1)),
    "common factors": Case(
        1, 8, 12, 11, 24, (3, 4), ((2, 2), (3, 3)), stride=(4, 2), dilation=(2, 3)
    ),
    "1x1": Case(3, 40, 5, 7, 16, (1, 1), ((0, 0), (0, 0))),
    "1x1 strided": Case(2, 8, 7, 9, 16, (1, 1), ((0, 0), (0, 0)), stride=(2, 3)),
    "mostly padding": Case(1, 8, 3, 4, 8, (3, 3), ((3, 3), (3, 3))),
    "one column": Case(1, 8, 2, 1, 8),
    "several tiles": Case(2, 24, 17, 13, 88),
}
PLENTY = 2**40
NAME = "implicit_gemm_mma"

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_direction = pytest.mark.parametrize("direction", DIRECTIONS)
#: The least that a segment of a sum adds up: these sums have fewer terms than the first.
each_length = pytest.mark.parametrize("segment", [2**20, 32], ids=["one launch", "segments"])
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)


def check(backend, rng, case, direction, dtype="float16", arrange=channels_last, limit=PLENTY):
    arrays, output = draw(rng, case, dtype, arrange), DIRECTIONS[direction]
    got = Run(backend, NAME, limit)(case, direction, arrays, channels_last)
    assert_matches(got, case.expected(output, **arrays), dtype, case.terms(output))


@on_kernels
@each_case
@each_direction
def test_matches_oracle(backend, rng, case, direction):
    check(backend, rng, case, direction)


@on_kernels
@each_direction
def test_bfloat16(backend, rng, direction):
    check(backend, rng, CASES["everything"], direction, "bfloat16")


@on_kernels
@pytest.mark.parametrize("case", [Case(1, 72, 9, 8, 88, (3, 2)), CASES["everything"]], ids=str)
@each_direction
def test_larger_tiles(backend, rng, monkeypatch, case, direction):
    monkeypatch.setattr(conv_implicit, "TILES", (128, 128))
    check(backend, rng, case, direction)


@on_kernels
@each_direction
@pytest.mark.parametrize("limit", [PLENTY, 500_000])
def test_segments(backend, rng, direction, limit):
    """Long sums of few outputs are cut up, within the limit."""
    check(backend, rng, Case(2, 72, 14, 13, 80, (3, 2)), direction, limit=limit)


@on_kernels
@pytest.mark.parametrize("direction", ["forward", "backward_input"])
@each_length
def test_epilogue(backend, rng, monkeypatch, direction, segment):
    """Of dx as well, whose channels are those of x: what a transposed convolution needs."""
    monkeypatch.setattr(conv_implicit, "SEGMENT", segment)
    case = Case(2, 80, 7, 8, 96, (3, 2), groups=2, stride=(2, 1))
    arrays, output = draw(rng, case), DIRECTIONS[direction]
    want = case.expected(output, **arrays)
    end, finish, want = with_end(rng, want)
    got = Run(backend, NAME, PLENTY, finish)(case, direction, arrays | end, channels_last)
    assert_matches(got, want, "float16", case.terms(output))


@on_kernels
@each_length
def test_filters_that_fill_no_chunk(backend, rng, monkeypatch, segment):
    """The last ones of a group are finished one by one: each with its own bias and residual."""
    monkeypatch.setattr(conv_implicit, "SEGMENT", segment)
    case = Case(2, 32, 7, 8, 154, (3, 2), groups=2)  # a tile and 13 filters a group
    arrays = draw(rng, case)
    bias = rng.standard_normal(154).astype(np.float16)
    residual = channels_last(rng.standard_normal(case.y_shape).astype(np.float16))
    finish = Epilogue(bias=1, residual=view(residual).strides)
    end = {"bias": bias, "residual": residual}
    got = Run(backend, NAME, PLENTY, finish)(case, "forward", arrays | end, channels_last)
    want = case.expected("y", **arrays) + bias.astype(np.float64)[:, None, None] + residual
    assert_matches(got, want, "float16", case.terms("y"))


def backwards(array):
    """Rows and columns in falling order."""
    return channels_last(array[:, :, ::-1, ::-1])[:, :, ::-1, ::-1]


@on_kernels
@each_direction
@pytest.mark.parametrize("arrange", [misaligned, padded, backwards])
def test_views(backend, rng, direction, arrange):
    """Of what is read and of what is written."""
    case, output = CASES["everything"], DIRECTIONS[direction]
    arrays = draw(rng, case, arrange=arrange)
    got = Run(backend, NAME)(case, direction, arrays, arrange)
    assert_matches(got, case.expected(output, **arrays), "float16", case.terms(output))


@on_kernels
@pytest.mark.parametrize("direction", ["forward", "backward_input"])
@pytest.mark.parametrize("arrange", [misaligned, padded, backwards])
def test_views_of_the_weight(backend, rng, direction, arrange):
    """Read where they lie, as the summed channels are innermost."""
    case, output = CASES["everything"], DIRECTIONS[direction]
    arrays = draw(rng, case)
    turned = direction == "backward_input"  # over the filters
    weight = arrays["weight"].swapaxes(0, 1) if turned else arrays["weight"]
    arrays["weight"] = arrange(weight).swapaxes(0, 1) if turned else arrange(weight)
    got = Run(backend, NAME, limit=0)(case, direction, arrays, channels_last)
    assert_matches(got, case.expected(output, **arrays), "float16", case.terms(output))


def spread(array, step):
    """Images so many elements apart; what lies between them is never touched."""
    inner = channels_last(array[:1]).strides[1:]
    try:  # address space, not memory: pages come on touch
        base = np.zeros(array[0].size + step * (len(array) - 1), array.dtype)
    except MemoryError:
        pytest.skip("not enough address space for offsets beyond 2^31 elements")
    strides = (step * array.itemsize, *inner)
    view = np.lib.stride_tricks.as_strided(base, array.shape, strides)
    view[...] = array
    return view


@pytest.mark.parametrize("direction", ["forward", "backward_weight"])
def test_offsets_beyond_2_to_the_31(rng, direction):
    """Of images whose neighbours are within reach of 32 bits."""
    case, output = Case(4, 8, 9, 7, 8, (3, 2)), DIRECTIONS[direction]
    arrays = draw(rng, case)
    arrays["x"] = spread(arrays["x"], 7 * 2**27)
    with pycnn.use_backend("emulator", checked=False):
        got = Run(_Plain, NAME)(case, direction, arrays, channels_last)
    assert_matches(got, case.expected(output, **arrays), "float16", case.terms(output))


class _Plain:
    """NumPy arrays as they are."""

    name = "emulator"
    array = numpy = staticmethod(lambda array: array)


@on_kernels
@each_direction
def test_deterministic(backend, rng, monkeypatch, direction):
    deterministic(backend, rng, monkeypatch, direction, NAME)


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@each_direction
@pytest.mark.parametrize("tile", [64, 128])
def test_traffic(backend, rng, monkeypatch, direction, tile):
    """No bank is asked twice, and a request of a warp takes no sector more than it must."""
    monkeypatch.setattr(conv_implicit, "TILES", (tile, tile))
    monkeypatch.setattr(conv_implicit, "SEGMENT", 2**20)
    monkeypatch.setattr(conv_implicit, "SHORTEST", 2**20)
    case = Case(1, tile, 12, 11, tile)
    with counting() as counted:
        Run(backend, NAME)(case, direction, draw(rng, case), channels_last)
    assert counted.entries.count(NAME) == 1
    counters = counted.of(NAME)
    assert counters.bank_conflicts == 0
    assert counters.sectors_per_load <= 16  # 32 threads, 16 bytes each
    if direction != "backward_weight":  # taps between the channels
        assert counters.sectors_per_store == 16


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@pytest.mark.parametrize("tile", [64, 128])
def test_partial_sums_ask_no_bank_twice(backend, rng, monkeypatch, tile):
    monkeypatch.setattr(conv_implicit, "TILES", (tile, tile))
    monkeypatch.setattr(conv_implicit, "SEGMENT", 32)
    case = Case(1, 256, 6, 5, tile)
    with counting() as counted:
        Run(backend, NAME)(case, "forward", draw(rng, case), channels_last)
    assert "implicit_gemm_finish" in counted.entries
    assert counted.of(NAME).bank_conflicts == 0


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
def test_bias_is_loaded_once_and_residual_in_whole_chunks(backend, rng, monkeypatch):
    """However many chunks of the same channels a thread finishes: 16 of them here."""
    monkeypatch.setattr(conv_implicit, "TILES", (128, 128))
    monkeypatch.setattr(conv_implicit, "SEGMENT", 2**20)
    monkeypatch.setattr(conv_implicit, "SHORTEST", 2**20)
    case = Case(1, 16, 16, 16, 128, (1, 1), ((0, 0), (0, 0)))
    blocks, warps = 2, 4
    arrays, ends = draw(rng, case), [{}]
    ends.append({"bias": rng.standard_normal(128).astype(np.float16)})
    residual = channels_last(rng.standard_normal(case.y_shape).astype(np.float16))
    ends.append(ends[1] | {"residual": residual})
    loads = []
    for end in ends:
        finish = Epilogue(
            bias=1 if "bias" in end else None,
            residual=view(residual).strides if "residual" in end else None,
        )
        with counting() as counted:
            Run(backend, NAME, PLENTY, finish)(case, "forward", arrays | end, channels_last)
        loads.append(counted.of(NAME).global_load_requests)
    of_bias, of_residual = np.diff(loads)
    assert of_bias == blocks * warps
    assert of_residual == residual.nbytes // 16 // 32


@on_kernels
@pytest.mark.parametrize("algo", [NAME, "auto"])
def test_by_its_name(backend, rng, algo):
    by_its_name(backend, rng, algo)


def test_refuses_what_has_no_chunks():
    x, weight = np.ones((1, 9, 7, 12), np.float16), np.ones((8, 12, 3, 3), np.float16)
    with pycnn.use_backend("emulator"):
        with pytest.raises(ValueError, match="x has 12 channels a group; allowed: multiples of 8"):
            pycnn.conv2d(x, weight, layout="NHWC", algo=NAME)
        with pytest.raises(ValueError, match="allowed: channels innermost"):
            pycnn.conv2d(x, weight[:, :9], algo=NAME)
