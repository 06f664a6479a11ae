"""The end of the kernels for Hopper: how many instructions it takes, by the machine code and how
often a run of a few blocks came by."""

import re
from math import prod

import ml_dtypes
import numpy as np
import pytest

import pycnn
from pycnn.plan.estimate import way_of
from pycnn.predict import code, counts, gpus, plans, sample, traffic

pytest.importorskip("llvmlite")

HEADER = "wgmma_epilogue.cuh"


def array(*shape):
    return sample.aligned(shape, np.dtype(ml_dtypes.bfloat16))


def of_header(ptx):
    """Lines of PTX that come from it, not by way of what it calls."""
    number = re.search(rf'\.file\s+(\d+) "[^"]*/{HEADER}"', ptx)[1]
    inside, found = False, set()
    for line, text in enumerate(ptx.splitlines(), 1):
        where = re.match(r"\s*\.loc\s+(\d+)", text)
        inside = where[1] == number if where else inside
        if inside:
            found.add(line)
    return found


@pytest.mark.parametrize(("filters", "most"), [(64, 12), (128, 10), (256, 9)])
def test_instructions_an_output(filters, most):
    """With bias, scale, shift, residual and ReLU: every piece of code that has part in it."""
    x, y = (32, 56, 56, 64), (32, 56, 56, filters)
    end = {name: array(filters) for name in ("bias", "scale", "shift")}
    gpu = gpus.gpu("h200")
    with plans.planned_on(gpu):
        ((plan, arrays),) = plans.planned(
            lambda: pycnn.conv2d(
                array(*x), array(filters, 64, 1, 1), layout="NHWC", activation="relu",
                residual=array(*y), algo="implicit_gemm_wgmma", **end,
            )
        )  # fmt: skip
    ((launch, bound),) = plans.launches(plan, arrays)
    kernel = launch.kernel
    made = code.of_kernel(kernel, gpu.arch)
    run = plans.sampled(made, launch, bound, 2)
    executed = counts.of_blocks(made.listing, run.code.block_of_line, run.warp_counts())
    own, each, names = of_header(made.ptx), 0.0, set()
    for block, times in zip(made.listing.blocks(), executed, strict=True):
        inside = made.listing.instructions[block.begin : block.end]
        if times and any(i.line in own for i in inside):
            each += times * len(inside) * 32 / prod(y)
            names |= {i.base for i in inside}
    # A step of k, all of it copied for all blocks of a cluster, and y by boxes.
    way = way_of(launch)
    copied = way.tiles(32 * 56 * 56, filters, 1) * sum(way.tile) * 128 + 2 * prod(y)
    assert traffic.bulk_bytes(run, "bulk", "cluster") == pytest.approx(copied, rel=0.03)
    assert {"FFMA", "FADD", "F2FP", "STSM"} <= names
    assert not {"HGMMA", "FMNMX"} & names  # ReLU comes with the rounding
    assert each <= most
