"""How many kernels a forward pass launches, as docs/training.md has it, with and without `fuse`."""

import re
from pathlib import Path

import pytest

from pycnn import models, nn
from pycnn.define.trace import placeholder, tracing
from pycnn.runtime.plan import Plan

ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", re.MULTILINE)
TABLE = ROW.findall((Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8"))


def launches(model, shape):
    """Of all operations that a pass calls, none of which is run."""
    with tracing() as log:
        model(placeholder(shape, "float32"))
    plans = [one.operation.plan(one.call) for one in log]
    return sum(
        len(plan.launches)
        for some in plans
        for plan in ([some] if isinstance(some, Plan) else some)
    )


@pytest.mark.parametrize(("name", "before", "fused"), TABLE)
def test_the_documentation_counts_launches(name, before, fused):
    with tracing():
        model = models.create(name).eval()
    shape = (1, 3, 224, 224)
    assert launches(model, shape) == int(before)
    nn.fuse(model)
    assert launches(model, shape) == int(fused)


def test_the_documentation_has_the_table():
    assert len(TABLE) == 4
