"""Layers to test, each with the shape of an input."""

import numpy as np

from pycnn import nn

#: Layer (made in float64), shape of an input with its batch.
LAYERS = {
    "Linear": (lambda: nn.Linear(7, 5), (3, 7)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1), (2, 2, 9)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), (2, 4, 7, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 4, 2, bias=False), (2, 2, 3, 4, 5)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 2, 3, stride=2), (2, 4, 5)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (2, 4, 3, 5)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 2, 2), (1, 2, 2, 3, 2)),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, 1), (2, 3, 8)),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 7)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (1, 2, 4, 5, 6)),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 3, 8)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), (2, 3, 6, 5)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), (1, 2, 4, 4, 5)),
    "SumPool1d": (lambda: nn.SumPool1d(2), (2, 3, 7)),
    "SumPool2d": (lambda: nn.SumPool2d(3, 1, 1), (2, 3, 4, 5)),
    "SumPool3d": (lambda: nn.SumPool3d(2), (1, 2, 4, 4, 5)),
    "LPPool1d": (lambda: nn.LPPool1d(2, 3), (2, 3, 7)),
    "LPPool2d": (lambda: nn.LPPool2d(2, 2), (2, 3, 4, 6)),
    "LPPool3d": (lambda: nn.LPPool3d(2, 2), (1, 2, 4, 4, 2)),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(3), (2, 3, 7)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 3, 5, 7)),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(2), (1, 2, 3, 4, 5)),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(3), (2, 3, 7)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 3, 5, 7)),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d(2), (1, 2, 3, 4, 5)),
    "GlobalAvgPool": (lambda: nn.GlobalAvgPool(), (2, 3, 5, 7)),
    "GlobalMaxPool": (lambda: nn.GlobalMaxPool(), (2, 3, 5, 7)),
    **{
        name: (getattr(nn, name), (2, 3, 5))
        for name in (
            "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "Sigmoid", "Hardsigmoid", "Tanh",
            "Softplus", "Softsign", "GELU", "SiLU", "Hardswish", "Mish", "Softmax", "LogSoftmax",
            "Hardtanh", "Identity", "Flatten",
        )
    },
    "Clip": (lambda: nn.Clip(-0.5, 0.7), (2, 3, 5)),
    "PReLU": (lambda: nn.PReLU(3), (2, 3, 5)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (6, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), (2, 3, 4, 5)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2, affine=False), (2, 2, 2, 3, 2)),
    "LayerNorm": (lambda: nn.LayerNorm((3, 5)), (2, 3, 5)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 6), (2, 6, 3, 2)),
    "InstanceNorm": (lambda: nn.InstanceNorm(3, affine=True), (2, 3, 4, 5)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, alpha=0.5), (2, 5, 3, 2)),
    "Dropout": (lambda: nn.Dropout(0.4, seed=3), (2, 3, 5)),
    "Dropout2d": (lambda: nn.Dropout2d(0.4, seed=3), (2, 6, 3, 2)),
    "Reshape": (lambda: nn.Reshape(5, 3), (2, 3, 5)),
    "Pad": (lambda: nn.Pad((1, 2, 0, 1), mode="reflect"), (2, 3, 4, 5)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4, 5)),
    "Permute": (lambda: nn.Permute(0, 2, 3, 1), (2, 3, 4, 5)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(3), (2, 6, 4, 5)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (2, 8, 3, 5)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (2, 4, 6, 4)),
    "DepthToSpace": (lambda: nn.DepthToSpace(2), (2, 8, 3, 5)),
    "SpaceToDepth": (lambda: nn.SpaceToDepth(2), (2, 4, 6, 4)),
    "Unfold": (lambda: nn.Unfold(3, stride=2), (2, 3, 7, 5)),
    "Fold": (lambda: nn.Fold((15, 10), 3, stride=5), (2, 27, 6)),
    "Mean": (lambda: nn.Mean((2, 3)), (2, 3, 4, 5)),
    "Total": (lambda: nn.Total(1, keepdims=True), (2, 3, 4, 5)),
    "Max": (lambda: nn.Max(1), (2, 3, 4)),
    "Min": (lambda: nn.Min((1, 2)), (2, 3, 4)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (5, 4)),
    "Sum": (lambda: nn.Sum(nn.Linear(4, 4), nn.Identity(), nn.Tanh(), scale=0.3), (5, 4)),
    "Product": (lambda: nn.Product(nn.Linear(4, 4), nn.Sigmoid()), (5, 4)),
    "Concat": (lambda: nn.Concat(nn.Linear(4, 3), nn.Identity(), nn.Tanh()), (5, 4)),
    "Recompute": (
        lambda: nn.Recompute(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.4))),
        (5, 4),
    ),
    "Tap": (lambda: nn.Tap(nn.Linear(4, 2)), (5, 4)),
}  # fmt: skip

#: Operations that are no layers, in one line each.
NO_LAYER = {
    "conv2d_integer": "int8 has no gradients: inference through pycnn.ops",
    "qlinear_conv2d": "int8 has no gradients: inference through pycnn.ops",
    "scaled_conv2d": "8-bit floats have no gradients: inference through pycnn.ops",
    "gemm": "the matrix product behind Linear",
    "matmul_integer": "int8 has no gradients: inference through pycnn.ops",
    "qlinear_matmul": "int8 has no gradients: inference through pycnn.ops",
    "scaled_mm": "8-bit floats have no gradients: inference through pycnn.ops",
    "matmul": "has two inputs and no parameters",
    "argmax": "has no gradient",
    "argmin": "has no gradient",
    "bmm": "has two inputs and no parameters",
    "topk": "returns two arrays",
    "grid_sample": "has two inputs and no parameters",
    "batch_norm_train": "BatchNorm2d in training, which is traced as it is in evaluation",
    "batch_norm_relu_train": "BatchNorm2d in training, where fuse_norms has been at it",
    "split": "returns several arrays",
}


def make(name):
    build, shape = LAYERS[name]
    with nn.seeded(5):
        layer = build().to("float64")
    rng = np.random.default_rng(11)
    for parameter in layer.parameters():  # none at a special value, such as a bias of zero
        parameter.value[...] += 0.1 * rng.standard_normal(parameter.value.shape)
    return layer, rng.standard_normal(shape), rng
