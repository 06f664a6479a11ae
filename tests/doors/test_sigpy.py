"""sigpy's convolutions, as installed: one import of theirs changed, held to their path by SciPy."""

import itertools
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def modules():
    """sigpy's module, and its source run with the functions for a GPU, on `cupy_cudnn`."""
    sigpy = pytest.importorskip("sigpy", reason="sigpy is not installed")
    from sigpy import config, conv

    text = Path(conv.__file__).read_text()
    changed = text.replace("from cupy import cudnn", "from pycnn.compat import cupy_cudnn as cudnn")
    assert changed != text
    config.cudnn_enabled, before = True, config.cudnn_enabled
    try:
        ours = {"__name__": "sigpy.conv"}
        exec(compile(changed, conv.__file__, "exec"), ours)
    finally:
        config.cudnn_enabled = before
    assert sigpy
    return conv, ours


@pytest.mark.parametrize(
    ("mode", "strides", "many", "dtype"),
    list(
        itertools.product(
            ("full", "valid"), (None, (2, 1)), (False, True), (np.float64, np.complex128)
        )
    ),
)
def test_convolutions_and_their_adjoints(modules, mode, strides, many, dtype):
    conv, ours = modules
    rng = np.random.default_rng(0)

    def draw(*shape):
        real, imaginary = rng.standard_normal((2, *shape))
        return (real + 1j * imaginary).astype(dtype) if dtype is np.complex128 else real

    def run(name, *arguments):
        function = ours[name]
        if dtype is np.complex128:
            return ours["_complex"](function, *arguments, **how)
        return function(*arguments, **how)

    how = {"mode": mode, "strides": strides, "multi_channel": many}
    data, filt = (draw(2, 3, 9, 8), draw(4, 3, 3, 2)) if many else (draw(2, 9, 8), draw(3, 2))
    y = conv.convolve(data, filt, **how)
    for found, wanted in (
        (run("_convolve_cuda", data, filt), y),
        (
            run("_convolve_data_adjoint_cuda", y, filt.conj(), data.shape),
            conv.convolve_data_adjoint(y, filt, data.shape, **how),
        ),
        (
            run("_convolve_filter_adjoint_cuda", y, data.conj(), filt.shape),
            conv.convolve_filter_adjoint(y, data, filt.shape, **how),
        ),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
