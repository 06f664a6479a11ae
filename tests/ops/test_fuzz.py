"""A few hundred random calls, the same every time; `make fuzz` makes as many as there is time."""

import contextlib

import numpy as np
import pytest

from pycnn.reference.cpu import activation
from pycnn.runtime.backends import backends
from pycnn.testing import TESTED
from pycnn.testing.case import Case
from pycnn.testing.fuzz import check, draw
from pycnn.testing.fuzz.condition import sensitivity
from pycnn.testing.fuzz.judge import Fault

CALLS = 300
HERE = [b.name for b in backends() if b.available]


@pytest.mark.parametrize("backend", ["reference", "emulator", "checked"])
def test_random_calls(backend):
    """The emulator makes fewer, of operations whose kernels are compiled for other tests anyway."""
    if backend.replace("checked", "emulator") not in HERE:
        pytest.skip(f"{backend} is not available here")
    names, dtypes, calls = [], [], CALLS
    if backend != "reference":
        names, dtypes, calls = (
            ["add", "mul_backward", "silu", "softmax", "pad"],
            ["float32"],
            5 * check.TOGETHER,
        )
    tally = check.run(range(calls), backend, names=names, dtypes=dtypes)
    assert not tally.faults
    assert tally.outcomes.total() == calls
    assert tally.outcomes["right"] > calls / 2
    assert tally.outcomes["refused"] > 0


def test_calls_that_compile_come_together():
    """By operation and dtype; everything else differs from one to the next."""
    some = [draw.draw(1, n, together=20) for n in range(60)]
    kinds = [(d.tested.op.name, d.dtype) for d in some]
    assert len({*kinds[:20]}) == len({*kinds[20:40]}) == len({*kinds[40:]}) == 1
    assert len({*kinds}) > 1
    assert len({str(d) for d in some}) > 40


def test_a_fault_is_found_and_named(monkeypatch):
    """One wrong element of one activation; the line that is printed draws the same call again."""

    def wrong(x, out):
        np.maximum(x, 0, out=out)
        out.reshape(-1)[-1:] = 7

    monkeypatch.setattr(activation, "relu6", wrong)
    said = []
    tally = check.run(range(20), "reference", names=["relu6"], say=said.append)
    assert tally.faults == said != []
    words = said[0].split()
    number = int(words[words.index("--first") + 1])
    assert "--op relu6" in said[0]
    again = check.run(range(number, number + 1), "reference", names=["relu6"], say=said.append)
    assert again.faults == said[:1]


def test_running_statistics_are_updated_in_calls():
    """Neither refused, nor handed to a judge after they have changed."""
    tested = TESTED["instance_norm"]
    case = next(case for case in tested.cases if case.name == "updated")
    assert check.check(draw.Drawn(tested, case, "float32", (1,)), "reference") == "right"


def test_sensitivity_is_the_size_of_the_terms_that_cancel():
    """1000000 - 1000000 may be off by a rounding of 1000000, and by no more."""
    a, b = np.float32([1e6, 1e6]), np.float32([1, -1])
    moved = sensitivity(TESTED["matmul"], {}, {"a": a, "b": b}, "float32")["y"]
    assert 0.1 < moved < 1
    x = np.ones((1, 1, 4), np.float32)  # ties: which one is the largest is not to be left open
    assert not sensitivity(TESTED["max_pool1d"], {"kernel_size": 2}, {"x": x}, "float32")


@pytest.mark.parametrize(("off", "right"), [(0.05, True), (50.0, False)])
def test_cancelling_sums_are_held_to_the_size_of_their_terms(monkeypatch, off, right):
    tested = TESTED["matmul"]
    drawn = draw.Drawn(tested, Case("cancel", {"a": (2,), "b": (2,)}, {}), "float32", (1,))
    a, b = np.float32([1e6, 1e6]), np.float32([1, -1])
    monkeypatch.setattr(check, "fill", lambda drawn: ({}, {"a": a, "b": b}, False))
    monkeypatch.setattr(tested, "invoke", lambda *call: (np.array(off, np.float32),))
    with contextlib.nullcontext() if right else pytest.raises(Fault, match="off by 50"):
        assert check.check(drawn, "reference") == "right"


def test_a_call_that_does_not_end_is_a_fault(monkeypatch):
    def endless():
        while True:
            pass

    monkeypatch.setattr(check, "PATIENCE", 0.05)
    with check.strict(), pytest.raises(Fault, match="not done"):
        endless()


@pytest.mark.parametrize("kind", draw.VIEWS)
def test_layouts_keep_the_values(kind):
    array = np.arange(24.0).reshape(2, 3, 4)
    assert np.array_equal(draw.lay_out(array, kind), array)


def test_refusals_are_compared(monkeypatch):
    """A backend that takes what another one refuses is a fault."""
    drawn = next(
        d
        for d in (draw.draw(draw.SEED, n) for n in range(500))
        if check.check(d, "reference") == "refused"
    )
    backends = iter(("reference", "emulator"))
    owner = getattr(drawn.tested, "forward", drawn.tested)

    def differs(function, arrays, settings):
        raise ValueError(next(backends))

    monkeypatch.setattr(owner, "invoke", differs)
    with pytest.raises(Fault, match="refused differently"):
        check.check(drawn, "reference")
