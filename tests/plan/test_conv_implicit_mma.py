"""Plans of `implicit_gemm_mma`: chunks, alignment, workspace, limits."""

from dataclasses import replace
from math import prod

import pytest
from plan_checks import assert_sound

from pycnn.define.views import View
from pycnn.plan import conv
from pycnn.plan._implicit import Chunked
from pycnn.plan.conv_implicit_mma import IMPLICIT_GEMM_MMA, IMPLICIT_GEMM_TF32
from pycnn.plan.conv_problem import Problem, Unsupported

PLENTY = 2**40
OUTPUTS = {"forward": "y", "backward_input": "dx", "backward_weight": "dweight"}
each_direction = pytest.mark.parametrize("direction", OUTPUTS)
EVERY = Chunked.OPERANDS | Chunked.C


def problem(n=32, c=64, h=56, w=56, k=128, r=3, s=3, pad=1, last=True, dtype="float16", **options):
    p, q = h + 2 * pad - r + 1, w + 2 * pad - s + 1
    return Problem(
        View.contiguous((n, c, h, w), dtype, last),
        View.contiguous((k, c // options.get("groups", 1), r, s), dtype),
        View.contiguous((n, k, p, q), dtype, last),
        pad_begin=(pad, pad),
        **options,
    )


def plan(direction, of, limit=PLENTY):
    return IMPLICIT_GEMM_MMA.plan(of, direction, limit)


def product(of):
    """The launch that multiplies."""
    (launch,) = [x for x in of.launches if x.kernel.entry == "implicit_gemm_mma"]
    return launch


def fields(launch):
    return launch.args[-1]


def spaced(of, **strides):
    """The same with other strides of some operands."""
    views = {name: replace(getattr(of, name), strides=s) for name, s in strides.items()}
    return replace(of, **views)


@each_direction
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("groups", [1, 4])
def test_plans_are_sound(direction, dtype, groups):
    planned = plan(direction, problem(dtype=dtype, groups=groups))
    assert (planned.algo, list(planned.outputs)) == ("implicit_gemm_mma", [OUTPUTS[direction]])
    assert_sound(planned, {"x", "weight", "dy"})


def test_an_index_of_k_is_eight_channels():
    """Of x or dy; where the sum is over pixels, one pixel."""
    counts = {"forward": 9 * 64 // 8, "backward_input": 9 * 128 // 8, "backward_weight": 32 * 56**2}
    for direction, count in counts.items():
        launch = product(plan(direction, problem()))
        assert int(fields(launch)["k"]["count"]) == count
        along_k = str(int(direction != "backward_weight"))
        assert dict(launch.kernel.defines)["ALONG_K"] == along_k


@each_direction
def test_sixteen_bytes_where_strides_allow(direction):
    assert int(fields(product(plan(direction, problem())))["vectors"]) == EVERY & ~(
        Chunked.C if direction == "backward_weight" else 0  # its channels lie R S apart
    )
    wide = problem(c=64)
    views = {
        name: replace(v, strides=tuple(s if s == 1 else s // v.shape[1] * 131 for s in v.strides))
        for name, v in (("x", wide.x), ("y", wide.y))
    }
    odd = int(fields(product(plan(direction, replace(wide, **views))))["vectors"])
    assert odd == 0


@each_direction
def test_strides_that_no_step_takes_do_not_matter(direction):
    """Of a filter of 1x1, which lies in memory with 1 from tap to tap."""
    of = problem(r=1, s=1, pad=0)
    assert of.weight.strides[2:] == (1, 1)
    assert int(fields(product(plan(direction, of)))["vectors"]) & Chunked.OPERANDS


@pytest.mark.parametrize(
    ("direction", "operand", "strides"),
    [
        ("forward", "weight", (579, 1, 192, 64)),
        ("forward", "weight", (640, 1, 195, 64)),
        ("forward", "x", (56**2 * 64 + 4, 1, 56 * 64, 64)),
        ("backward_input", "weight", (1, 1155, 384, 128)),
        ("backward_weight", "x", (56**2 * 64, 1, 56 * 64 + 4, 64)),
        ("backward_weight", "y", (56**2 * 128 + 4, 1, 56 * 128, 128)),
    ],
    ids=str,
)
def test_one_odd_stride_is_enough(direction, operand, strides):
    of = spaced(problem(), **{operand: strides})
    assert not int(fields(product(plan(direction, of)))["vectors"]) & Chunked.OPERANDS


@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_weight_is_copied_unless_its_summed_channels_are_innermost(direction):
    of = problem(groups=2)
    entries = [x.kernel.entry for x in plan(direction, of).launches]
    assert entries == ["im2col", "implicit_gemm_mma"]
    size = prod(of.weight.shape) * of.itemsize
    with pytest.raises(Unsupported, match="a copy of the weight"):
        plan(direction, of, limit=size - 1)
    k, c, r, s = of.weight.shape
    innermost = {
        "forward": View.contiguous(of.weight.shape, of.dtype, channels_last=True),
        "backward_input": View((k, c, r, s), (1, r * s * k, s * k, k), of.dtype),
    }[direction]
    direct = plan(direction, replace(of, weight=innermost), limit=0)
    assert [x.kernel.entry for x in direct.launches] == ["implicit_gemm_mma"]
    one_tap = plan(direction, problem(r=1, s=1, pad=0)).launches
    assert len(one_tap) == (1 if direction == "forward" else 2)  # weight is (K, C)


@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_copy_and_segments_share_the_limit(direction):
    of = problem(n=1, h=7, w=7, c=256, k=256)
    copy, part = prod(of.weight.shape) * of.itemsize, 256 * 7 * 7 * 4
    for parts, names in ((2, {"weight_last", "partial"}), (1, {"weight_last"})):
        planned = plan(direction, of, limit=copy + parts * part)
        assert set(planned.workspace) == names
        assert planned.workspace_bytes <= copy + parts * part


def strided(stride, n=32, h=56, k=128, **options):
    """With a stride, and outputs to match."""
    p, q = ((extent + 2 - 3) // step + 1 for extent, step in zip((h, 56), stride, strict=True))
    y = View.contiguous((n, k, p, q), "float16", channels_last=True)
    return replace(problem(n=n, h=h, k=k, **options), y=y, stride=stride)


@pytest.mark.parametrize(("stride", "launches"), [((1, 2), 1), ((2, 2), 1), ((3, 2), 2)])
def test_residues_share_launches(stride, launches):
    """Up to four of them, those with the most taps first."""
    planned = plan("backward_input", strided(stride))
    assert_sound(planned, {"dy", "weight"})
    _, *steps = planned.launches
    assert [step.kernel.entry for step in steps] == ["implicit_gemm_phases"] * launches
    of, first = (fields(steps[0])[name] for name in ("of", "first"))
    taps = [int(of["k"]["count"][i]) * 8 // 128 for i in range(4) if first[i] < 2**32 - 1]
    assert taps == {(1, 2): [6, 3], (2, 2): [4, 2, 2, 1], (3, 2): [2, 2, 2, 1]}[stride]
    assert first[0] == 0
    assert all(0 < f < steps[0].grid[0] for f in first[1 : len(taps)])


def test_residues_whose_sums_are_cut_have_launches_of_their_own():
    planned = plan("backward_input", strided((2, 2), n=1, h=8, k=1024))
    entries = [step.kernel.entry for step in planned.launches]
    assert "implicit_gemm_phases" not in entries
    assert entries.count("implicit_gemm_finish") == 4


def test_auto_takes_it_where_tensor_cores_pay(by_rule):
    for of, name in (
        (problem(), "implicit_gemm_mma"),
        (problem(last=False), "im2col"),
        (problem(r=1, s=1, pad=0), "gemm_1x1"),
        (problem(k=8), "implicit_gemm"),
        (problem(dtype="float32"), "winograd_f4"),
    ):
        assert conv.plan(of, "forward", "auto", PLENTY).algo == name


def test_images_may_lie_far_apart():
    """A tile spans two of them; together they reach beyond 2^31."""
    of = problem(n=32)
    far = spaced(of, x=(2**28, *of.x.strides[1:]))
    assert product(plan("forward", far)).kernel.entry == "implicit_gemm_mma"


@pytest.mark.parametrize("operand", ["x", "y"])
def test_chunks_of_32_gigabytes_have_offsets(operand):
    """dweight counts chunks of 16 bytes by 32 bits; what lies further is copied one by one."""
    for images, vectors in ((8, Chunked.OPERANDS), (9, 0)):
        of = problem(n=images)
        view = getattr(of, operand)
        far = spaced(of, **{operand: (2**31 - 2**20, *view.strides[1:])})
        assert int(fields(product(plan("backward_weight", far)))["vectors"]) == vectors


REACH = r"a tile reaches over \d+ elements; allowed: 2147483647"
far = problem(n=2)
UNFIT = {
    "dtype": ("forward", problem(dtype="float32"), "dtype float32; allowed: float16, bfloat16"),
    "mode": ("forward", problem(mode="circular"), "mode 'circular'; allowed: 'zeros'"),
    "layout": ("forward", problem(last=False), "of x; allowed: channels innermost"),
    "layout of dy": ("backward_input", problem(last=False), "of dy; allowed: channels innermost"),
    "channels": ("forward", problem(c=60), "x has 60 channels a group; allowed: multiples of 8"),
    "filters": ("backward_input", problem(k=36, groups=2), "dy has 18 channels a group"),
    "filters of dweight": ("backward_weight", problem(k=36), "dy has 36 channels a group"),
    "distance": (
        "forward",
        spaced(far, x=(2**30, *far.x.strides[1:])),
        REACH,
    ),
    "images": ("backward_weight", spaced(far, x=(2**31, *far.x.strides[1:])), REACH),
    "images of dy": ("backward_weight", spaced(far, y=(2**31, *far.y.strides[1:])), REACH),
    "many small images": (
        "forward",
        spaced(problem(n=32, h=2, w=2), x=(2**27, 1, 128, 64)),
        REACH,
    ),
    "filters apart": ("forward", spaced(far, weight=(2**25, 1, 192, 64)), REACH),
    "taps apart": ("forward", spaced(far, weight=(64, 1, 2**30, 2**13)), REACH),
    "sum": (
        "backward_weight",
        problem(n=2**20),
        "3288334336 indices of a sum; allowed: 2147483647",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_limits(case):
    direction, of, message = UNFIT[case]
    with pytest.raises(Unsupported, match=message):
        plan(direction, of)


def test_what_is_in_the_way_of_few_channels_too_is_said_once():
    first, apart = problem(dtype="float32", last=False), problem(dtype="float32", c=6, groups=2)
    for of, reasons in ((first, 1), (replace(first, mode="circular"), 1), (apart, 2)):
        with pytest.raises(Unsupported) as refused:
            IMPLICIT_GEMM_TF32.plan(of, "forward", PLENTY)
        assert str(refused.value).count("; allowed: ") == reasons


@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_windows_beyond_the_mask_of_taps_are_refused(direction):
    """Which taps meet x is a mask of bits for each axis."""
    assert plan(direction, problem(r=15, s=15, pad=7))
    with pytest.raises(Unsupported, match="a window of 16x3; allowed: up to 15 a side"):
        plan(direction, problem(r=16, s=3, pad=1))
