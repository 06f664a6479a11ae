"""What the tests of the plans share."""

from functools import cache
from math import prod

import numpy as np

from pycnn.runtime import catalogue
from pycnn.runtime.occupancy import limits_of
from pycnn.runtime.plan import Plan
from pycnn.runtime.target import target

HUGE = 2**31 + 7


def assert_sound(plan: Plan, inputs: set[str]) -> None:
    """Kernels that exist in that variant, whole warps, memory that somebody provides."""
    files = _kernels()
    known = inputs | set(plan.outputs) | set(plan.workspace)
    for launch in plan.launches:
        kernel = files[launch.kernel.file]
        assert launch.kernel.entry in kernel.entries
        assert set(launch.kernel.defines) in [set(variant) for variant in kernel.variants]
        assert prod(launch.block) % 32 == 0
        limits = limits_of(kernel.arch or target().arch)
        assert launch.shared <= limits.shared - limits.reserved
        assert launch.names <= known


@cache
def _kernels() -> dict[str, catalogue.KernelFile]:
    return {kernel.file: kernel for kernel in catalogue.load()}


def struct(plan: Plan, launch: int = 0, place: int = 0) -> np.void:
    """The structs among a launch's arguments: the one at `place`."""
    args = plan.launches[launch].args
    return [a for a in args if isinstance(a, np.void)][place]


def threads(plan: Plan, launch: int = 0) -> int:
    """Threads of all blocks."""
    found = plan.launches[launch]
    return prod(found.grid) * prod(found.block)
