"""What tests of kernels for sm_90a share: plans for it, and an emulator that stands for it."""

import pytest

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
