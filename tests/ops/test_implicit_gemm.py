"""`implicit_gemm` in all three directions, a plan at a time, against the oracle."""

import numpy as np
import pytest
from conv_plans import DIRECTIONS, Case, Run, channels_last, draw, with_end
from op_checks import assert_matches, far_apart, same_under_all_schedules, view_of

import pycnn
from pycnn.dtypes import FLOATS
from pycnn.emulator import counting
from pycnn.plan import conv_implicit

NONE = ((0, 0), (0, 0))
CASES = {
    "3x2": Case(2, 3, 7, 9, 5, (3, 2)),
    "asymmetric": Case(1, 5, 11, 8, 7, (3, 3), ((0, 1), (2, 0)), stride=(2, 1)),
    "dilated": Case(2, 4, 13, 10, 6, (3, 3), ((2, 2), (2, 2)), dilation=(2, 3)),
    "everything": Case(3, 6, 9, 7, 9, (2, 4), groups=3, stride=(3, 2), dilation=(2, 1)),
    "common factors": Case(
        1, 4, 12, 11, 3, (3, 4), ((2, 2), (3, 3)), stride=(4, 2), dilation=(2, 3)
    ),
    "depthwise": Case(2, 5, 6, 8, 10, (5, 5), ((2, 2), (2, 2)), groups=5, stride=(2, 2)),
    "1x1": Case(3, 11, 5, 7, 13, (1, 1), NONE),
    "1x1 strided": Case(2, 6, 7, 9, 3, (1, 1), NONE, stride=(2, 3)),
    "gaps": Case(1, 2, 9, 8, 3, (2, 2), NONE, stride=(3, 3)),
    "mostly padding": Case(1, 2, 3, 4, 5, (3, 3), ((3, 3), (3, 3))),
    "one of everything": Case(1, 1, 1, 1, 1, (1, 1), NONE),
    "several tiles": Case(2, 19, 17, 13, 67),
}
MODES = {
    mode: Case(2, 4, 6, 7, 5, (3, 4), ((2, 1), (3, 2)), 1, (2, 1), (1, 2), mode)
    for mode in ("reflect", "replicate", "circular")
}
PLENTY = 2**40

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_direction = pytest.mark.parametrize("direction", DIRECTIONS)
each_layout = pytest.mark.parametrize("arrange", [np.array, channels_last], ids=["NCHW", "NHWC"])
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)


def check(backend, rng, case, direction, dtype, arrange=np.array, limit=PLENTY):
    arrays, output = draw(rng, case, dtype, arrange), DIRECTIONS[direction]
    got = Run(backend, "implicit_gemm", limit)(case, direction, arrays, arrange)
    assert_matches(got, case.expected(output, **arrays), dtype, case.terms(output))


@on_kernels
@each_case
@each_direction
@each_layout
def test_matches_oracle(backend, rng, case, direction, arrange):
    check(backend, rng, case, direction, "float32", arrange)


@on_kernels
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@each_direction
@each_layout
def test_dtypes(backend, rng, dtype, direction, arrange):
    check(backend, rng, CASES["everything"], direction, dtype, arrange)


@on_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_direction
@each_layout
def test_larger_tiles(backend, rng, monkeypatch, dtype, direction, arrange):
    monkeypatch.setattr(conv_implicit, "FILL", 1)
    case = Case(1, 66, 9, 8, 67, (3, 2))
    check(backend, rng, case, direction, dtype, arrange)


@on_kernels
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("direction", ["forward", "backward_weight"])
@each_layout
def test_padding_modes(backend, rng, mode, direction, arrange):
    check(backend, rng, MODES[mode], direction, "float32", arrange)


@on_kernels
@each_direction
@each_layout
@pytest.mark.parametrize("limit", [PLENTY, 500_000, 0])
def test_segments(backend, rng, direction, arrange, limit):
    """Long sums of few outputs are cut up, within the limit; without workspace they are not."""
    check(backend, rng, Case(2, 70, 14, 13, 75, (3, 2)), direction, "float16", arrange, limit)


@on_kernels
@pytest.mark.parametrize("direction", ["forward", "backward_input"])
@each_layout
@pytest.mark.parametrize("limit", [0, PLENTY], ids=["one launch", "segments"])
def test_epilogue(backend, rng, monkeypatch, direction, arrange, limit):
    """Of dx as well, whose channels are those of x: what a transposed convolution needs."""
    monkeypatch.setattr(conv_implicit, "SEGMENT", 32)  # their sums have 68 terms and more
    case = Case(2, 66, 7, 8, 68, (3, 2), groups=2, stride=(2, 1))
    arrays, output = draw(rng, case, "float32", arrange), DIRECTIONS[direction]
    want = case.expected(output, **arrays)
    end, finish, want = with_end(rng, want, "float32", arrange)
    got = Run(backend, "implicit_gemm", limit, finish)(case, direction, arrays | end, arrange)
    assert_matches(got, want, "float32", case.terms(output))


@on_kernels
@each_direction
@pytest.mark.parametrize("kind", ["reversed", "stepped", "transposed"])
def test_views(backend, rng, direction, kind):
    case, output = CASES["everything"], DIRECTIONS[direction]
    plain = draw(rng, case, "float32", np.array)
    arrays = {name: view_of(array, kind) for name, array in plain.items()}
    got = Run(backend, "implicit_gemm")(case, direction, arrays)
    assert_matches(got, case.expected(output, **arrays), "float32", case.terms(output))


@pytest.mark.parametrize("direction", ["forward", "backward_weight"])
def test_offsets_beyond_2_to_the_31(rng, direction):
    """Two images further apart than 32 bits reach."""
    case, output = Case(2, 3, 5, 4, 2, (3, 2)), DIRECTIONS[direction]
    arrays = draw(rng, case, "float32", np.array)
    arrays["x"] = far_apart(arrays["x"])
    with pycnn.use_backend("emulator", checked=False):
        got = Run(_Plain, "implicit_gemm")(case, direction, arrays)
    assert_matches(got, case.expected(output, **arrays), "float32", case.terms(output))


class _Plain:
    """NumPy arrays as they are."""

    name = "emulator"
    array = numpy = staticmethod(lambda array: array)


@on_kernels
@each_direction
def test_deterministic(backend, rng, monkeypatch, direction):
    case = Case(2, 40, 9, 8, 33, (3, 2))
    arrays, run = draw(rng, case, "float32", np.array), Run(backend, "implicit_gemm")
    same_under_all_schedules(
        backend, monkeypatch, lambda: backend.array(run(case, direction, arrays))
    )


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@each_direction
@each_layout
@pytest.mark.parametrize(
    ("dtype", "tile"), [("float32", 64), ("float64", 64), ("float16", 128), ("float32", 128)]
)
def test_traffic(backend, rng, monkeypatch, direction, arrange, dtype, tile):
    """No bank is asked twice, and a request of a warp takes few more sectors than it must."""
    monkeypatch.setattr(conv_implicit, "SHORTEST", 2**20)
    monkeypatch.setattr(conv_implicit, "TILES", (64, tile))
    monkeypatch.setattr(conv_implicit, "FILL", 1)
    case = Case(1, 72, 12, 11, 72)
    with counting() as counted:
        Run(backend, "implicit_gemm")(case, direction, draw(rng, case, dtype, arrange), arrange)
    assert counted.entries.count("implicit_gemm") == 1
    counters = counted.of("implicit_gemm")
    assert counters.bank_conflicts == 0
    least = FLOATS[dtype].itemsize  # sectors of 32 bytes for 32 threads
    assert counters.sectors_per_load < 2 * least
    if (direction, arrange) != ("backward_weight", channels_last):  # taps between the channels
        assert counters.sectors_per_store < 1.3 * least
