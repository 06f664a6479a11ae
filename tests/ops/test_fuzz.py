"""A few hundred random calls, the same every time; `make fuzz` makes as many as there is time."""

import numpy as np
import pytest

from pycnn.reference.cpu import activation
from pycnn.runtime.backends import backends
from pycnn.testing.fuzz import check, draw
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
        names, dtypes, calls = ["add", "mul_backward", "silu", "softmax", "pad"], ["float32"], 60
    tally = check.run(range(calls), backend, names=names, dtypes=dtypes)
    assert not tally.faults
    assert tally.outcomes.total() == calls
    assert tally.outcomes["right"] > calls / 2
    assert tally.outcomes["refused"] > 0


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
