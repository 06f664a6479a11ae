"""Random kernels of which it is known whether they race: the checked build says the same."""

import numpy as np
import pytest
import random_kernels
from random_kernels import WORDS

from pycnn.emulator import RaceError, RawModule


def _disagreements(seeds):
    """Seeds on which the checked build and the definition differ, and how many kernels raced."""
    kernels = [random_kernels.generate(f"k{seed}", seed) for seed in seeds]
    code = f"__device__ int d[{WORDS}];\n" + "".join(kernel.code for kernel in kernels)
    wrong, raced = [], 0
    for schedule in ("forward", "reverse"):
        # From the source: of a store that nothing reads there is none in the PTX.
        module = RawModule(
            code, checked=True, schedule=schedule, same_value_races=True, via="source"
        )
        for seed, kernel in zip(seeds, kernels, strict=True):
            expected = random_kernels.races(kernel, schedule == "reverse")
            g, flags, out = (np.zeros(n, np.int32) for n in (WORDS, 2, 3 * 96))
            try:
                module.get_function(kernel.name)(
                    (kernel.blocks,), (kernel.threads,), (g, flags, out)
                )
                found = ""
            except RaceError as error:
                found = str(error)
            if bool(found) != expected:
                wrong.append(f"{seed} {schedule}: {found or 'no race found'}\n{kernel.code}")
            raced += expected
    return wrong, raced


def test_random_kernels():
    wrong, raced = _disagreements(range(48))
    assert not wrong, wrong[0]
    assert 20 < raced < 76  # of 96 runs: both verdicts are tried


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(40))
def test_thousands_of_random_kernels(part):
    wrong, _ = _disagreements(range(1000 + 100 * part, 1100 + 100 * part))
    assert not wrong, f"{len(wrong)} differ; {wrong[0]}"
