"""Attention by wgmma with an operand in registers: sums and products under way side by side."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pycnn.emulator import KernelError, ProxyFenceError, RawKernel, WgmmaError

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
if importlib.util.find_spec("cuda") is None:
    pytest.skip("needs the extra 'compile'", allow_module_level=True)

SOURCE = Path(__file__).with_name("hopper_attention.cu").read_text()
RNG = np.random.default_rng(31)


def attention(q, k, v, bug=0, **settings):
    kernel = RawKernel(SOURCE, "attention", (f"-DBUG={bug}",), via="ptx", arch="sm_90a", **settings)
    out = np.zeros((64, 64), np.float32)
    kernel((1,), (128,), (q, k, v, out, np.int32(len(k))), shared_mem=5 * 8192)
    return out


def tensors(keys):
    q, k, v = (RNG.standard_normal((rows, 64)) / 3 for rows in (64, keys, keys))
    return tuple(x.astype(np.float16) for x in (q, k, v))


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("keys", [50, 200])
def test_right_and_silent(keys, checked):
    q, k, v = tensors(keys)
    scores = q.astype(np.float64) @ k.astype(np.float64).T
    weights = np.exp(scores - scores.max(1, keepdims=True))
    want = weights / weights.sum(1, keepdims=True) @ v.astype(np.float64)
    np.testing.assert_allclose(attention(q, k, v, checked=checked), want, atol=2e-3)


@pytest.mark.parametrize(
    ("bug", "error", "message"),
    [
        (1, WgmmaError, "no wgmma.wait_group"),
        (2, KernelError, "asynchronous operation of thread"),
        (3, ProxyFenceError, "no fence.proxy.async"),
        (4, WgmmaError, "no wgmma.fence"),
    ],
)
def test_planted_mistakes(bug, error, message):
    with pytest.raises(error, match=message):
        attention(*tensors(200), bug, checked=True)
