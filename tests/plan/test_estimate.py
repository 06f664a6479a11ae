"""What `auto` goes by: predicted times of plans, by arithmetic and a table of kernels' costs."""

import json
from dataclasses import replace
from math import prod
from types import SimpleNamespace

import pytest

import pycnn
from pycnn.bench.calls import described
from pycnn.bench.operations import OPERATIONS
from pycnn.plan import conv, estimate
from pycnn.plan.conv_order import CONTENDS
from pycnn.plan.conv_problem import Unsupported
from pycnn.plan.estimate import Cost, at_hand, blocks_of, cost_of, depth_of, of_launch
from pycnn.predict import code, gpus
from pycnn.runtime.plan import Launch
from pycnn.runtime.target import Target, planned_for

CONV = OPERATIONS["conv2d"]
H200 = Target("sm_90a", 132)

#: A kernel of 100 clocks of the multipliers a warp and term, waiting for 1000 at the start.
COST = Cost(32, 0, (0, 100), (0, 1), (1000, 100), (0, 0), "", (0, 0))


def choice(word, dtype="float32", layout="NCHW"):
    definition, call = described(CONV, CONV.parse(word), "forward", dtype, layout)
    return definition.choices(call)[0]


def launch(word, algo, dtype="float32", layout="NCHW"):
    """The launch of a plan that multiplies."""
    plan = choice(word, dtype, layout).plan(algo)
    stem = "gemm" if algo == "gemm_1x1" else algo
    return next(step for step in plan.launches if step.kernel.entry.startswith(stem))


def test_depths_are_terms_of_sums():
    with planned_for(H200):
        assert depth_of(launch("n8c32h14w14k64r3s3p1", "direct")) == 9 * 32
        assert depth_of(launch("n32c64h56w56k64r3s3p1", "implicit_gemm")) == 9 * 64
        assert depth_of(launch("n8c64h14w14k128r1s1", "gemm_1x1")) == 64
        word, half = "n32c64h56w56k64r3s3p1", ("bfloat16", "NHWC")
        assert depth_of(launch(word, "implicit_gemm_mma", *half)) == 9 * 64 // 8  # chunks
        found = launch(word, "implicit_gemm_wgmma", *half)
        assert depth_of(found) == 9 * 64
        # A block has several tiles one after the other, of 192 pixels, in pairs.
        assert blocks_of(found) == 2 * -(-32 * 56 * 56 // 384) > prod(found.grid)


def test_pixels_between_strides_are_not_read():
    from pycnn.plan.conv_problem import bytes_of

    word = "n2c64h56w56k128r1s1u2"
    with planned_for(H200):
        assert bytes_of(choice(word, "bfloat16", "NHWC").problem)["x"] == 2 * 64 * 28 * 28 * 2
        assert bytes_of(choice(word).problem)["x"] == 2 * 64 * 28 * 56 * 4  # sectors of a row
        whole = "n2c64h56w56k128r3s3p1u2"
        assert bytes_of(choice(whole).problem)["x"] == 2 * 64 * 56 * 56 * 4


def test_a_time_by_hand():
    """8 warps a block and 4 schedulers: one that is full is busy all the time."""
    gpu = replace(gpus.gpu("h200"), block_clocks=0)
    of = launch("n8c32h14w14k64r3s3p1", "direct")  # 98 blocks a 4 filters of 8 images
    depth, blocks = depth_of(of), prod(of.grid)
    alone = 1000 + 100 * depth
    few, bound = of_launch(replace(of, grid=(1, 1, 1)), COST, 0.0, gpu)
    assert few == pytest.approx(max(alone, 2 * 100 * depth) / gpu.clock_ghz / 1e3, rel=0.1)
    many, bound = of_launch(replace(of, grid=(132 * 8 * 50, 1, 1)), COST, 0.0, gpu)
    assert many == pytest.approx(50 * 8 * 2 * 100 * depth / gpu.sustained_ghz / 1e3, rel=0.03)
    assert bound == "multipliers"
    alone = COST._replace(depths=(2 * depth, 2 * depth))  # of this depth alone something is known
    assert of_launch(of, alone, 0.0, gpu) > of_launch(of, COST, 0.0, gpu)
    steep = COST._replace(front=(-100 * depth, 100), alone=(-100 * depth, 100))  # and nothing is 0
    apart = steep._replace(depths=(2 * depth, 4 * depth))
    assert of_launch(of, apart, 0.0, gpu) > of_launch(of, steep, 0.0, gpu)
    far, bound = of_launch(of, COST, 1e9, gpu)
    assert (far, bound) == (pytest.approx(1e9 / gpu.dram_achieved_gbps / 1e3, rel=0.2), "memory")
    assert blocks == 8 * 64 * 14 * 14 // 256


def test_tensor_cores_have_their_own_rate():
    gpu, word = gpus.gpu("h200"), "n32c64h56w56k64r3s3p1"
    of = launch(word, "direct")
    products = COST._replace(front=(0, 0), alone=(0, 0), products=(0, 32 * 2048), kind="bfloat16")
    time, _ = of_launch(replace(of, grid=(132 * 8 * 10, 1, 1)), products, 0.0, gpu)
    flops = 2 * 132 * 8 * 10 * 8 * depth_of(of) * 32 * 2048
    assert time == pytest.approx(flops / 989.4e6, rel=0.03)


def test_the_gpu_at_hand():
    assert at_hand(Target("sm_90a", 114)).key == "h100_pcie"
    assert at_hand(Target("sm_90a", 132, "NVIDIA H100 SXM5; CUDA 13000")).key == "h100"
    # One that is in no list: that of the architecture whose size is nearest, with its own.
    assert (at_hand(Target("sm_86", 28)).arch, at_hand(Target("sm_86", 28)).sms) == ("sm_86", 28)
    assert at_hand(Target("sm_100a", 148)).arch == "sm_90a"
    assert at_hand(Target()).key == "h200"


WORDS = (
    ("n1c64h56w56k64r3s3p1", "float32", "NCHW"), ("n32c256h14w14k256r3s3p1", "float32", "NCHW"),
    ("n32c512h7w7k2048r1s1", "float32", "NCHW"), ("n32c256h14w14k256r3s3p1", "float16", "NHWC"),
    ("n1c128h56w56k128r3s3p1g128", "float32", "NCHW"),
)  # fmt: skip


@pytest.mark.parametrize(("word", "dtype", "layout"), WORDS)
def test_auto_takes_what_is_estimated_to_be_the_fastest(word, dtype, layout):
    with planned_for(H200):
        of = choice(word, dtype, layout)
        listed = [c for c in of.candidates() if c.estimated_us is not None]
        assert len(listed) > 1
        times = [c.estimated_us for c in listed]
        assert times == sorted(times)
        assert of.plan("auto").algo == listed[0].name
        assert "bound by" in listed[0].reason


def test_a_smaller_gpu_takes_longer_and_another_choice_may_win():
    word = "n32c256h14w14k256r3s3p1"
    times = {}
    for sms in (132, 33):
        with planned_for(Target("sm_90a", sms)):
            times[sms] = choice(word).candidates()[0].estimated_us
    assert 2 < times[33] / times[132] < 4.5


def test_without_costs_the_rules_decide(monkeypatch):
    with planned_for(H200):
        of = choice("n1c64h56w56k64r3s3p1")
        assert of.candidates()[0].estimated_us is not None
        monkeypatch.setattr(estimate, "cost_of", lambda kernel, arch: None)
        found = of.candidates()
        assert all(c.estimated_us is None for c in found)
        assert found[0].score == max(c.score for c in found if c.fits)
        assert of.plan("auto").algo == found[0].name


def test_small_ones_go_by_rule():
    with planned_for(H200):
        assert choice("n1c8h8w8k16r3s3p1").candidates()[0].estimated_us is None


def test_explained_in_words():
    with planned_for(H200):
        found = pycnn.explain("conv2d", (1, 64, 56, 56), (64, 64, 3, 3), padding=1)
    taken = found.results[0].taken
    assert taken.estimated_us is not None
    assert f"{taken.algo} (estimated {taken.estimated_us:.1f} us" in str(found)


@pytest.mark.parametrize("arch", sorted(json.loads(estimate.FILE.read_text())["costs"]))
def test_every_kernel_of_these_layers_has_a_cost(arch):
    """Those that auto chooses among, of what the networks of the table have."""
    missing = set()
    with planned_for(Target(arch, 132)):
        for word, dtype, layout in WORDS:
            of = choice(word, dtype, layout)
            for algorithm in conv.ALGORITHMS.values():
                if algorithm.score(of.problem, "forward")[0] >= CONTENDS:
                    try:
                        plan = algorithm.plan(of.problem, "forward", of.limit)
                    except Unsupported:
                        continue
                    steps = [s for s in plan.launches if isinstance(s, Launch)]
                    missing |= {str(s.kernel) for s in steps if cost_of(s.kernel, arch) is None}
    assert not missing, f"python benchmarks/kernel_costs.py --arch {arch}"


def test_nobody_typed_the_costs():
    rows = json.loads(estimate.FILE.read_text())["costs"]
    assert set(rows) <= {gpus.gpu(name).arch for name in gpus.names()}
    assert all(len(row["from"]) == 12 for of in rows.values() for row in of.values())


def test_a_kernel_that_contends_at_one_depth_has_a_second_one(monkeypatch):
    from benchmarks import kernel_costs

    def one(depth, contends):
        return SimpleNamespace(depth=depth, contends=contends, tiles=1, images=1, form=(), launch=1)

    monkeypatch.setattr(kernel_costs, "blocks_of", lambda launch: launch)
    few = [one(9, True), one(576, False), one(2304, False), one(4608, False)]
    assert [f.depth for f in kernel_costs._pair(few)] == [9, 2304]
    several = [one(128, True), one(64, False), one(576, True)]
    assert [f.depth for f in kernel_costs._pair(several)] == [128, 576]
    first_layers = [one(27, True), one(147, True)]  # one of them is within the bounds
    assert [f.depth for f in kernel_costs._pair(first_layers)] == [27, 147]
    assert kernel_costs.line(6, 10, (2, 4)) == [2, 2]
    assert kernel_costs.line(6, 6, (3, 3)) == [0, 2]  # nothing is known but that it grows
    assert kernel_costs.line(6, 6, (0, 0)) == [6, 0]


def test_first_layers_of_float32_go_by_the_kernel_made_for_them():
    """Of 27 terms as of 147; of one depth alone a cost was thought to be the same for less."""
    with planned_for(Target("sm_90a", 132)):
        for word in ("n32c3h224w224k64r3s3p1", "n32c3h224w224k64r7s7p3u2"):
            assert choice(word, "float32", "NHWC").plan("auto").algo == "implicit_gemm_ffma"


@pytest.mark.exhaustive
def test_costs_are_those_of_todays_kernels():
    from benchmarks import kernel_costs

    rows = json.loads(estimate.FILE.read_text())["costs"]["sm_90a"]
    pairs = kernel_costs.kernels(kernel_costs.of_arch("sm_90a"))
    stale = [
        str(kernel)
        for kernel, pair in pairs.items()
        if rows.get(str(kernel), {}).get("from")
        != kernel_costs.digest(pair, code.of_kernel(kernel, "sm_90a"))
    ]
    assert not stale, "python benchmarks/kernel_costs.py"
