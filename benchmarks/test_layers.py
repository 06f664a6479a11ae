"""Every contestant on every layer of a suite: checked, then timed by pytest-benchmark."""

import pytest

from pycnn.bench.checking import judge
from pycnn.bench.operations.base import Unsupported


def test_layer(device_benchmark, op, layer, direction, dtype, contestant, rng):
    if contestant.reason:
        pytest.skip(contestant.reason)
    arrays = op.inputs(layer.case, direction, dtype, rng)
    checks = op.checks(layer.case, direction, arrays)
    try:
        call = contestant.prepare(op, layer.case, direction, arrays)
    except Unsupported as lack:
        pytest.skip(f"{contestant.backend}: {lack}")
    shapes = op.output_shapes(layer.case, direction)
    with contestant.active():
        outputs = contestant.numpy(call())
        assert judge(outputs, checks, dtype, shapes, contestant.coarse(dtype)).right
    device_benchmark(call)
