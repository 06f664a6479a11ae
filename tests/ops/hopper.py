"""What tests of kernels for sm_90a share: plans for it, and an emulator that stands for it."""

import numpy as np
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


def spaced(given):
    """Operands of bytes of which rows of `a`, and columns of `b`, begin 144 elements apart."""

    def apart(rows):
        wide = np.full((len(rows), 144), 1, rows.dtype)  # what lies beside must not be added
        wide[:, : rows.shape[1]] = rows
        return wide[:, : rows.shape[1]]

    return {**given, "a": apart(given["a"]), "b": apart(given["b"].T).T}
