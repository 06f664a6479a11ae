"""Every runner on every layer of a suite: checked, then timed by pytest-benchmark."""

import pytest

from pycnn.bench.checking import check
from pycnn.bench.operations.base import Unsupported


def test_layer(device_benchmark, op, layer, direction, dtype, runner, rng):
    if runner.reason:
        pytest.skip(runner.reason)
    arrays = op.inputs(layer.case, direction, dtype, rng)
    checks = op.checks(layer.case, direction, arrays)
    try:
        call = runner.prepare(op, layer.case, direction, arrays)
    except Unsupported as lack:
        pytest.skip(f"{runner.backend}: {lack}")
    shapes = op.output_shapes(layer.case, direction)
    with runner.active():
        outputs = runner.numpy(call())
        assert check(outputs, checks, dtype, shapes, runner.coarse(dtype)).right
    device_benchmark(call)
