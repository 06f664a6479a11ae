"""Small networks written with PyTorch's functions, of the kinds that KernelBench asks for.

Its first level has single operations, its second a convolution or a product with a few operations
behind it. Extents are small here; the results must be PyTorch's, and what is convolution, pooling,
normalisation or activation must be computed by pycnn.
"""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")

import torch
from torch import nn
from torch.nn import functional as F

import pycnn.torch


def conv(kind, *arguments, **settings):
    torch.manual_seed(0)
    return getattr(nn, kind)(*arguments, **settings)


SINGLE = {
    "square filters": (conv("Conv2d", 3, 8, 3), (2, 3, 9, 9)),
    "filters wider than high": (conv("Conv2d", 3, 8, (3, 5)), (2, 3, 9, 11)),
    "stride, padding, dilation": (
        conv("Conv2d", 3, 8, (3, 5), stride=2, padding=(2, 4), dilation=(2, 3)), (2, 3, 12, 16)
    ),
    "depthwise": (conv("Conv2d", 6, 6, 3, groups=6, bias=False), (2, 6, 9, 8)),
    "depthwise, one axis long": (conv("Conv2d", 6, 6, (3, 1), groups=6), (2, 6, 9, 8)),
    "depthwise and pointwise": (
        nn.Sequential(conv("Conv2d", 6, 6, 3, groups=6), conv("Conv2d", 6, 4, 1)), (2, 6, 9, 8)
    ),
    "pointwise": (conv("Conv2d", 6, 4, 1, bias=False), (2, 6, 9, 8)),
    "three axes": (conv("Conv3d", 3, 4, (3, 2, 1)), (1, 3, 6, 5, 4)),
    "one axis, dilated": (conv("Conv1d", 3, 8, 3, stride=3, dilation=4), (2, 3, 40)),
    "transposed": (conv("ConvTranspose2d", 4, 3, (3, 5), stride=(2, 3), padding=1), (2, 4, 5, 6)),
    "transposed, grouped": (
        conv("ConvTranspose2d", 4, 6, 3, stride=2, output_padding=1, groups=2), (2, 4, 5, 6)
    ),
    "transposed, one axis": (conv("ConvTranspose1d", 4, 3, 3, dilation=2), (2, 4, 9)),
    "transposed, three axes": (
        conv("ConvTranspose3d", 4, 6, (3, 2, 3), stride=2, padding=1, groups=2), (1, 4, 4, 3, 5)
    ),
    "maximum": (nn.MaxPool2d(4, 1, 1, 3), (2, 3, 14, 14)),
    "maximum, one axis": (nn.MaxPool1d(5, 2, 2, 2), (2, 3, 20)),
    "maximum, three axes": (nn.MaxPool3d(3, 2, 1, 2), (1, 2, 8, 8, 8)),
    "mean": (nn.AvgPool2d(3), (2, 3, 9, 9)),
    "mean, one axis": (nn.AvgPool1d(4, 2, 1), (2, 3, 12)),
    "mean, three axes": (nn.AvgPool3d(3, 2, 1), (1, 2, 7, 7, 7)),
}  # fmt: skip


class Behind(nn.Module):
    """A layer, and functions behind it."""

    def __init__(self, layer, behind, **parameters):
        super().__init__()
        self.layer, self.behind = layer, behind
        for name, shape in parameters.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))

    def forward(self, x):
        return self.behind(self, self.layer(x))


FUSED = {
    "ReLU, bias": (lambda m, y: F.relu(y) + m.bias, {"bias": (8, 1, 1)}),
    "minimum, tanh twice": (lambda m, y: y.amin(1, keepdim=True).tanh().tanh(), {}),
    "mish of mish": (lambda m, y: F.mish(F.mish(y - 0.5) - 0.2), {}),
    "activation, norm of groups": (
        lambda m, y: F.group_norm(torch.sigmoid((y + m.bias) * m.scale), 4),
        {"bias": (8, 1, 1), "scale": (8, 1, 1)},
    ),
    "tanh, scaled, maximum": (lambda m, y: F.max_pool2d(torch.tanh(y) * 2 + m.bias, 2),
                              {"bias": (8, 1, 1)}),
    "norm of instances, division": (lambda m, y: F.instance_norm(y) / 2.0, {}),
    "swish by hand, clamped": (lambda m, y: (y * torch.sigmoid(y) / 2).clamp(-1, 1).tanh(), {}),
    "hardswish, maximum, mish": (lambda m, y: F.mish(F.max_pool2d(F.hardswish(y - 0.5), 2)), {}),
    "mean, sigmoid, sum": (lambda m, y: torch.sigmoid(F.avg_pool2d(y, 2)).sum((1, 2, 3)), {}),
    "softplus, tanh, product, norm": (
        lambda m, y: F.batch_norm(torch.tanh(F.softplus(y)) * y, None, None, training=True), {}
    ),
    "mean of all, GELU, log of sum": (
        lambda m, y: torch.logsumexp(F.gelu(F.adaptive_avg_pool2d(y, 1) + m.bias), 1),
        {"bias": (8, 1, 1)},
    ),
    "softmax of channels": (lambda m, y: torch.sigmoid(F.softmax(y, 1) * 3), {}),
    "norm of layer, hardtanh": (lambda m, y: F.hardtanh(F.layer_norm(y, y.shape[1:]), -1, 1), {}),
    "leaky ReLU of a sum": (
        lambda m, y: F.leaky_relu(y * m.scale + y, 0.2), {"scale": (8, 1, 1)}
    ),
}  # fmt: skip


def compared(model, x):
    """Results and gradients by PyTorch and by ours, in float64: the cost of squares behind a norm
    hardly depends on anything, and PyTorch's own gradients of it in float32 have three digits."""
    model, x, results = model.double(), x.double(), []
    for ours in (False, True):
        model.zero_grad()
        leaf = x.clone().requires_grad_()
        with pycnn.torch.backend() if ours else torch.enable_grad() as used:
            y = model(leaf)
        y.square().sum().backward()
        results.append([y, leaf.grad, *(p.grad.clone() for p in model.parameters())])
    for mine, want in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(mine, want, rtol=1e-9, atol=1e-9)
    return used


@pytest.mark.parametrize("task", SINGLE)
def test_single(task):
    model, shape = SINGLE[task]
    used = compared(model, torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    assert used.ours.total() == sum(1 for _ in model.modules() if not list(_.children()))


@pytest.mark.parametrize("task", FUSED)
@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_fused(kind, task):
    behind, parameters = FUSED[task]
    model = Behind(conv(kind, 3, 8, 3, padding=1), behind, **parameters)
    used = compared(model, torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(2)))
    assert used.ours.total() >= 2
