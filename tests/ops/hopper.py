"""What tests of kernels for sm_90a share: plans for it, and an emulator that stands for it."""

import numpy as np
import pytest
from broken import run_broken

from pycnn.define.views import View
from pycnn.plan.conv_int8 import Quantised
from pycnn.plan.conv_problem import Problem
from pycnn.runtime.plan import ArraySpec
from pycnn.runtime.route import route
from pycnn.runtime.target import Target, planned_for, target_of_backend

#: So few multiprocessors that a block has several tiles.
HOPPER = Target("sm_90a", 3)


@pytest.fixture
def on_hopper(request, monkeypatch):
    """Plans are for sm_90a, and so is what the emulator compiles."""
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", HOPPER.arch)
    monkeypatch.setenv("PYCNN_EMULATOR_VIA", "ptx")
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    target = HOPPER
    if parameters.get("backend") == "cuda":
        target = target_of_backend("cuda")
        if target.arch != HOPPER.arch:
            pytest.skip(f"this GPU is {target.arch}; wgmma is for sm_90a alone")
    elif route()[0] != "ptx":
        pytest.skip(f"kernels for sm_90a run by PTX: {route()[1]}")
    with planned_for(target):
        yield


def spaced(given):
    """Operands of bytes of which rows of `a`, and columns of `b`, begin 144 elements apart."""

    def apart(rows):
        wide = np.full((len(rows), 144), 1, rows.dtype)  # what lies beside must not be added
        wide[:, : rows.shape[1]] = rows
        return wide[:, : rows.shape[1]]

    return {**given, "a": apart(given["a"]), "b": apart(given["b"].T).T}


def run_broken_windows(planner, name, processors, arrays, old, new):
    """Run a convolution of bytes, padded on the left, with a mistake in its kernel; its result."""
    x, y = (arrays[name].transpose(0, 3, 1, 2) for name in ("x", "y"))
    views = (View.of(name, a) for name, a in (("x", x), ("weight", arrays["weight"]), ("y", y)))
    problem = Problem(*views, pad_begin=(0, 1))
    quantised = Quantised(problem, arrays["weight"].dtype.name, x_zero=False, weight_zero=None)
    output = ArraySpec(arrays["y"].shape, arrays["y"].dtype)
    with planned_for(Target("sm_90a", processors)):
        (step,) = planner(quantised, name, 0, output).plan("wgmma").launches
    assert dict(step.kernel.defines)["CLUSTER"] == str(processors)
    run_broken(step, arrays, old, new, via="ptx", arch="sm_90a")
    return arrays["y"]
