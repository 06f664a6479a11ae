"""Plans of the product by `wgmma`: what it takes, its tensor maps, and when "auto" asks for it."""

from dataclasses import replace
from math import ceil

import pytest
from plan_checks import HUGE

from pycnn.plan import _wgmma
from pycnn.plan._wgmma import Way
from pycnn.plan.gemm import Flag, algorithms_of, choose, gemm_launch, plan_gemm
from pycnn.plan.gemm_problem import Gemm
from pycnn.plan.matmul import Matrices, products
from pycnn.runtime import sources
from pycnn.runtime.plan import Buffer
from pycnn.runtime.target import Target, planned_for

HOPPER = Target("sm_90a", 132)
BUFFERS = [Buffer(name) for name in "abc"]


@pytest.fixture(autouse=True)
def on_hopper():
    with planned_for(HOPPER):
        yield


def problem(m=512, n=384, k=200, **changed):
    strides = {"a": (0, 0, k, 1), "b": (0, 0, n, 1), "c": (0, 0, n, 1)}
    return Gemm(m, n, k, "float16", **{**strides, **changed})


def launch(p, **settings):
    return gemm_launch(p, *BUFFERS, algo="wgmma", **settings)


@pytest.mark.parametrize("arch", ["", "sm_80", "sm_100a", "sm_120"])
def test_other_architectures_are_refused(arch):
    with planned_for(Target(arch)):
        with pytest.raises(
            ValueError, match=f"architecture {arch or 'not known'}; allowed: sm_90a"
        ):
            launch(problem())
        assert choose(problem()) == "tensor_core"
        assert gemm_launch(problem(), *BUFFERS).unaligned is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"a": (0, 0, 201, 1)}, r"multiples of 8"),
        ({"a": (0, 0, 400, 2)}, r"multiples of 8"),
        ({"b": (0, 0, -384, 1)}, r"of b; allowed: 1 to"),
        ({"b": (0, 0, 0, 1)}, r"of b; allowed: 1 to"),
        ({"a": (0, 0, 2**39, 1)}, r"of a; allowed: 1 to"),
        ({"a": (-8, 0, 200, 1), "batch": (2, 1)}, r"of a; allowed: 1 to"),
        ({"a": (0, 4, 200, 1), "batch": (1, 2)}, r"multiples of 8"),
        ({"wide": True}, "not rounded"),
        ({"k": 0}, r"extents \(512, 384, 0\)"),
        ({"m": HUGE}, f"extents \\({HUGE}"),
        ({"m": 2**30, "batch": (300, 1)}, "2\\^31 tiles"),
    ],
)
def test_what_it_cannot_take_is_refused(changed, message):
    p = replace(problem(), **changed)
    with pytest.raises(ValueError, match=f"algo='wgmma' does not fit: .*{message}"):
        launch(p)
    assert choose(p) != "wgmma"


def test_other_dtypes_have_no_such_version():
    assert "wgmma" in algorithms_of("bfloat16")
    assert "wgmma" not in algorithms_of("float32")


def test_maps_of_operands_along_k():
    p = problem(a=(0, 7200, 208, 1), b=(0, 0, 1, 256), batch=(1, 3))
    a, b = launch(p, tile=(128, 128)).maps  # C's batches lie in one place, of which there is none
    assert (a.array, b.array) == (Buffer("a"), Buffer("b"))
    assert a.shape == (1, 3, 512, 200)
    assert a.strides[1:] == (7200, 208, 1)
    assert b.shape == (1, 1, 384, 200)
    assert b.strides[2:] == (256, 1)
    assert a.box == (1, 1, 128, 64)
    assert b.box == (1, 1, 64, 64)  # of two blocks each copies a half
    assert all(s % 8 == 0 for s in (*a.strides[:-1], *b.strides[:-1]))


def test_maps_of_operands_across_k():
    a, b, _ = launch(problem(a=(0, 0, 1, 520)), tile=(128, 256)).maps
    assert a.shape == (1, 1, 200, 512)
    assert a.strides[2:] == (520, 1)
    assert b.shape == (1, 1, 200, 384)
    assert a.box == b.box == (1, 1, 64, 64)


def test_map_of_the_result():
    p = problem(c=(0, 512 * 400, 400, 1), batch=(1, 3))
    c = launch(p).maps[2]
    assert (c.array, c.optional, c.box) == (Buffer("c"), True, (1, 1, 16, 64))
    assert (c.shape, c.strides[1:]) == ((1, 3, 512, 384), (512 * 400, 400, 1))
    assert int(launch(p).args[-1]["flags"]) & Flag.C_BOXES
    odd = launch(problem(c=(0, 0, 401, 1)))
    assert len(odd.maps) == 2
    assert not int(odd.args[-1]["flags"]) & Flag.C_BOXES


def test_one_row_has_any_stride():
    (a, _, _) = launch(problem(m=1, a=(0, 0, 3, 1))).maps
    assert a.shape == (1, 1, 1, 200)
    assert a.strides == (200, 200, 200, 1)


@pytest.mark.parametrize("tile", _wgmma.TILES)
def test_a_block_for_every_sm(tile):
    p = problem(m=1000, n=1000, b=(0, 0, 1, 208), c=(0, 0, 1000, 1), batch=(3, 1))
    step = launch(p, tile=tile)
    tiles = ceil(1000 / 128) * ceil(1000 / tile[1]) * 3
    assert step.grid == (min(tiles, 132), 1, 1)
    assert ("CLUSTER", "2") in step.kernel.defines
    assert step.block == (384, 1, 1)
    assert 180 * 1024 < step.shared <= 227 * 1024
    params = step.args[-1]
    assert (int(params["tile_m"]), int(params["tile_n"])) == tile
    with planned_for(Target("sm_90a", 133)):
        wide = launch(problem(m=8192, n=8192, b=(0, 0, 1, 208), c=(0, 0, 8192, 1)), tile=tile)
        assert wide.grid == (132, 1, 1)  # whole clusters


def test_stages_are_those_of_the_kernel():
    """As many as fit, by the same arithmetic."""
    text = (sources.kernel_dir() / "include/pycnn/gemm_wgmma.cuh").read_text()
    assert (
        "FIT = (227 * 1024 - CONSUMER_WARPS * int(sizeof(Pieces))) / int(STAGE_BYTES + 16);" in text
    )
    for tile, stages in {(128, 64): 8, (128, 128): 6, (128, 256): 4, (192, 128): 4}.items():
        stage, pieces = 128 * sum(tile) + 16, tile[0] // 16 * 4096
        assert _wgmma.shared_bytes(tile) == stages * stage + pieces <= 227 * 1024
    for (rows, columns), stages in {(192, 64): 3, (192, 128): 2}.items():
        stage, pieces = 128 * (rows * 10 // 8 + 3 * columns) + 16, rows // 16 * 4096
        assert _wgmma.shared_bytes((rows, columns), 3) == stages * stage + pieces <= 227 * 1024


def test_auto():
    assert choose(problem()) == "wgmma"
    assert choose(problem(n=40)) == choose(problem(k=56)) == "tensor_core"
    assert choose(problem(m=8)) == "shared_tile"
    step = gemm_launch(problem(), *BUFFERS)
    assert step.kernel.entry == "gemm_wgmma"
    assert step.unaligned.kernel.entry == "gemm_tensor_core"
    assert step.unaligned.args[:3] == tuple(BUFFERS)
    assert launch(problem()).unaligned is None
    plan = plan_gemm((512, 200), (200, 1), (200, 384), (384, 1), "bfloat16", target=HOPPER)
    other = plan_gemm((512, 200), (200, 1), (200, 384), (384, 1), "bfloat16")
    assert (plan.algo, other.algo) == ("wgmma", "tensor_core")


def test_auto_of_a_batch():
    a, b = Matrices("a", (512 * 200,), 200, 1), Matrices("b", (200 * 384,), 384, 1)
    plan = products("bmm", "y", (3, 512, 384), (512, 384, 200), a, b, "float16", batch=(3,))
    assert plan.algo == "wgmma"
    assert plan.launches[0].unaligned is not None


def test_tiles():
    assert _wgmma.best_way(8192, 8192, 8192) == Way((128, 256), cluster=2)
    assert _wgmma.best_way(100000, 64, 576) == Way((128, 64), cluster=2)
    assert _wgmma.best_way(128, 8192, 8192).cluster == 1
    with planned_for(Target("sm_90a", 1)):
        assert _wgmma.best_way(8192, 8192, 8192).cluster == 1
    of_conv = {"clusters": _wgmma.OF_CONV}  # 14x14 and 7x7 pixels, batch 32
    with planned_for(Target("sm_90a", 132)):
        assert _wgmma.best_way(6272, 512, 1024, **of_conv) == Way((192, 128), across=2)
        beside = _wgmma.best_way(1568, 512, 2048, **of_conv)
        assert beside == Way((128, 64), across=4)
        assert beside.tiles(1568, 512, 1) == 13 * 8
        assert beside.grid(1000) == (128, 1, 1)  # of 16 multiprocessors that lie together
        along = _wgmma.best_way(1568, 512, 4608, **of_conv, along=_wgmma.ALONG)
        assert along == Way((128, 256), along=4)
        assert along.grid(along.tiles(1568, 512, 1)) == (13 * 2 * 4, 1, 1)
    with pytest.raises(ValueError, match=r"tile=\(64, 64\); allowed: \(128, 64\), "):
        launch(problem(), tile=(64, 64))
