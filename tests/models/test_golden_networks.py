"""Every network against PyTorch's results, gradients and running statistics, kept in a file."""

from functools import cache

import golden_networks as golden
import numpy as np
import pytest
from small_models import SMALL

from pycnn.models import MODELS

#: Far from rounding in float64, and far below what any wrong layer would make of it.
ALLOWED = {"results": 1e-9, "gradients": 1e-6, "statistics": 1e-6}

answers = cache(lambda: dict(np.load(golden.ANSWERS)))


def names():
    deep = ("resnet101", "resnet152", "cifar_resnet1202", "densenet169", "densenet201")
    return [pytest.param(n, marks=[pytest.mark.exhaustive] * (n in deep)) for n in SMALL]


def check(name, got, want):
    """One by one, relative to the largest of the elements that a sum is over."""
    for what, allowed in ALLOWED.items():
        mine, theirs = golden.kept(got)[what], want[what]
        assert mine.shape == theirs.shape, f"{what} of {name}: other layers"
        arrays = got[what][1:] if what == "gradients" else got[what]
        scales = [max(1.0, np.abs(a).max()) for a in arrays]
        scale = max(scales) if what == "results" else np.array(scales)
        off = np.abs(mine - theirs) / (scale + np.abs(theirs))
        assert off.max(initial=0) < allowed, f"{what} of {name}, number {off.argmax()}"


@pytest.mark.parametrize("name", names())
def test_every_network_says_what_pytorch_said(name):
    found, _ = golden.by_pycnn(name)
    check(name, found, {what: answers()[f"{name}:{what}"] for what in ALLOWED})


def test_none_is_left_out():
    assert {key.partition(":")[0] for key in answers()} - {"torch"} == set(MODELS)


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "resnet50", "unet", "squeezenet"])
def test_pytorch_still_says_it(name):
    """Of all elements; a gradient that is zero but for rounding has no digit that is right."""
    pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    theirs, (mine, called) = golden.by_pytorch(name), golden.by_pycnn(name)
    for want, got, what in zip(theirs["gradients"], mine["gradients"], called, strict=True):
        np.testing.assert_allclose(
            got, want, rtol=1e-8, atol=1e-12 + 1e-8 * np.abs(want).max(), err_msg=what
        )
    check(name, mine, golden.kept(theirs))
