"""Plans of steps: blocks of every parameter, tables, and rates of each launch."""

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound

from pycnn.plan import optim as plans
from pycnn.runtime.plan import Buffer, Table

ENTRIES = {
    "sgd": (0, ()),
    "sgd_momentum": (1, (0.9, 1)),
    "adam": (2, (0.9, 0.1, 0.9, 0.1, 1e-8, 0)),
}


def table(launch):
    (found,) = [a for a in launch.args if isinstance(a, Table)]
    return found


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("dtype", plans.DTYPES)
@pytest.mark.parametrize("counts", [(1,), (5000, 1, 0, 4096), (7,) * 130, (HUGE, 3)])
def test_every_element_has_a_thread(entry, dtype, counts):
    slots, constants = ENTRIES[entry]
    plan = plans.step(entry, constants, counts, slots, dtype)
    names = {f"{m}[{i}]" for m in plans.MEMBERS[: 2 + slots] for i in range(len(counts))}
    assert_sound(plan, names | {"rates"})
    chunk = 8192 // np.dtype(dtype).itemsize
    for n, launch in enumerate(plan.launches):
        own = counts[n * plans.MOST : (n + 1) * plans.MOST]
        described = table(launch)
        ends = described.struct["end"][: len(own)]
        assert [*np.diff(ends, prepend=0)] == [-(-count // chunk) for count in own]
        assert launch.grid == (ends[-1], 1, 1)
        assert [*described.struct["count"][: len(own)]] == [*own]
        assert (described.struct["end"][len(own) :] > ends[-1]).all()
        assert launch.args[2] == Buffer("rates", 8 * (4 + 2 * 64 * n))


def test_a_parameter_without_elements_has_no_launch():
    assert plans.step("sgd", (), (0, 0), 0, "float32").launches == ()


def test_addresses_are_filled_in():
    plan = plans.step("sgd", (), (3, 0, 4), 0, "float32")
    whole = table(plan.launches[0]).filled(lambda b: {"value[0]": 16, "grad[2]": 48}.get(b.name, 1))
    assert [*whole["value"][:4]] == [16, 0, 1, 0]
    assert [*whole["grad"][:4]] == [1, 0, 48, 0]
    assert not whole["first"].any()
