"""What the table of PyTorch's functions has beside their plain calls: transforms, odd arguments."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
import torch
from torch.nn import functional

import pycnn.torch

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
W = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
TARGET = torch.tensor([1, 0])

#: Functions of a tensor, with a gradient of ours of every kind; PyTorch's of the same.
FUNCTIONS = {
    "by x or y": (lambda x: pycnn.torch.relu(x), functional.relu),
    "by operands": (lambda x: pycnn.torch.conv2d(x, W), lambda x: functional.conv2d(x, W)),
    "of the weight": (
        lambda x: pycnn.torch.conv2d(X, x[:, :, :3, :3]),
        lambda x: functional.conv2d(X, x[:, :, :3, :3]),
    ),
    "by indices": (
        lambda x: pycnn.torch.max_pool2d(x, 2),
        lambda x: functional.max_pool2d(x, 2),
    ),
    "of a list": (
        lambda x: pycnn.torch.concat([x, x * 2], 1) ** 2, lambda x: torch.cat([x, x * 2], 1) ** 2
    ),
    "composed": (
        lambda x: pycnn.torch.gemm(x[0, 0], x[0, 1], transpose_b=True),
        lambda x: x[0, 0] @ x[0, 1].T,
    ),
    "broadcast": (lambda x: pycnn.torch.matmul(x, x[0, 0]), lambda x: x @ x[0, 0]),
    "a loss": (
        lambda x: pycnn.torch.cross_entropy(x[:, :, 0, 0], TARGET),
        lambda x: functional.cross_entropy(x[:, :, 0, 0], TARGET),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS)
class TestTransforms:
    def test_grad(self, case):
        ours, theirs = (torch.func.grad(lambda x, f=f: f(x).square().sum())(X) for f in case)
        torch.testing.assert_close(ours, theirs)

    def test_grad_of_each_of_a_batch(self, case):
        batch = torch.stack([X, X + 0.1, X * 2])
        ours, theirs = (
            torch.vmap(torch.func.grad(lambda x, f=f: f(x).square().sum()))(batch) for f in case
        )
        torch.testing.assert_close(ours, theirs)

    def test_the_jacobian(self, case):
        ours, theirs = (torch.func.jacrev(lambda x, f=f: f(x).mean((0,)))(X[:1]) if f(X).ndim > 0
                        else torch.func.jacrev(f)(X) for f in case)  # fmt: skip
        torch.testing.assert_close(ours, theirs)


def test_what_changes_its_operands_is_refused_in_a_transform():
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    with pytest.raises(NotImplementedError, match=r"in a transform of torch\.func.*running_mean"):
        torch.func.grad(lambda x: pycnn.torch.instance_norm(x, mean, var).sum())(X)
    assert (mean == 0).all()
    ours, theirs = (
        torch.func.grad(lambda x, f=f: (f(x) ** 3).sum())(X)
        for f in (pycnn.torch.instance_norm, functional.instance_norm)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.cat([X, X.float()], 1),
        lambda: torch.cat([torch.arange(3), torch.ones(2)]),
        lambda: torch.cat([X, X], axis=-1),
        lambda: torch.cat([torch.empty(0), X[0, 0].float()]),
        lambda: torch.cat([torch.empty(0), torch.empty(0)]),
        lambda: functional.interpolate(X, size=(5, 6), mode="area"),
        lambda: functional.interpolate(X, scale_factor=0.6, mode="area"),
        lambda: functional.interpolate(X, scale_factor=(1.5, 0.5), mode="area"),
        lambda: functional.interpolate(X[0], size=5, mode="area"),
        lambda: functional.interpolate(X[None], size=(2, 4, 12), mode="area"),
        lambda: torch.addmm(
            torch.full((2, 4), torch.nan), torch.ones(2, 3), torch.ones(3, 4), beta=0
        ),
    ],
)
def test_as_pytorch_has_it(call):
    with pycnn.torch.backend() as used:
        ours = call()
    assert used.ours
    torch.testing.assert_close(ours, call(), rtol=1e-6, atol=1e-9)


def test_a_summand_times_zero_has_a_gradient_of_zero():
    input = torch.full((2, 4), torch.nan, requires_grad=True)
    with pycnn.torch.backend():
        torch.addmm(input, torch.ones(2, 3), torch.ones(3, 4), beta=0).sum().backward()
    assert torch.equal(input.grad, torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: functional.relu(torch._neg_view(X)), r"negative bit set; allowed: x\.resolve_neg"),
        (
            lambda: functional.interpolate(X, size=4, mode="area", antialias=True),
            "mode='area' with antialias; allowed: without",
        ),
        (lambda: functional.interpolate(X, mode="area"), "size and scale_factor; allowed: one"),
        (lambda: functional.interpolate(X[0, 0], size=4, mode="area"), "1 to 3 spatial axes"),
    ],
)
def test_refused(call, message):
    with pycnn.torch.backend(), pytest.raises((TypeError, ValueError), match=message):
        call()
