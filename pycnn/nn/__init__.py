"""Layers, losses, optimisers: what a network is made of.

``layer(x)`` computes; ``layer.forward(x)`` keeps what ``layer.backward(dy)`` needs. Parameters and
gradients are plain arrays, NumPy's or CuPy's.
"""

from pycnn.nn.activation import (
    CELU as CELU,
    ELU as ELU,
    GELU as GELU,
    SELU as SELU,
    Clip as Clip,
    Hardsigmoid as Hardsigmoid,
    Hardswish as Hardswish,
    Hardtanh as Hardtanh,
    LeakyReLU as LeakyReLU,
    LogSoftmax as LogSoftmax,
    Mish as Mish,
    PReLU as PReLU,
    ReLU as ReLU,
    ReLU6 as ReLU6,
    Sigmoid as Sigmoid,
    SiLU as SiLU,
    Softmax as Softmax,
    Softplus as Softplus,
    Softsign as Softsign,
    Tanh as Tanh,
)
from pycnn.nn.clip import clip_grad_norm as clip_grad_norm, clip_grad_value as clip_grad_value
from pycnn.nn.combine import (
    Concat as Concat,
    Identity as Identity,
    Product as Product,
    Sequential as Sequential,
    Sum as Sum,
    Tap as Tap,
    taps as taps,
)
from pycnn.nn.compiled import Compiled as Compiled, compile as compile
from pycnn.nn.convolution import (
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    Conv3d as Conv3d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
    ConvTranspose3d as ConvTranspose3d,
    Linear as Linear,
)
from pycnn.nn.dropout import Dropout as Dropout, Dropout2d as Dropout2d
from pycnn.nn.errors import LayerError as LayerError, LayerTypeError as LayerTypeError
from pycnn.nn.fuse import Fused as Fused, fuse as fuse
from pycnn.nn.fuse_norms import fuse_norms as fuse_norms
from pycnn.nn.init import seeded as seeded
from pycnn.nn.layer import Layer as Layer
from pycnn.nn.loss import (
    BCELoss as BCELoss,
    BCEWithLogitsLoss as BCEWithLogitsLoss,
    CrossEntropyLoss as CrossEntropyLoss,
    HuberLoss as HuberLoss,
    KLDivLoss as KLDivLoss,
    L1Loss as L1Loss,
    Loss as Loss,
    MSELoss as MSELoss,
    NLLLoss as NLLLoss,
    SmoothL1Loss as SmoothL1Loss,
    SumOfHalfSquares as SumOfHalfSquares,
)
from pycnn.nn.loss_scale import LossScale as LossScale
from pycnn.nn.module import Parameter as Parameter
from pycnn.nn.normalisation import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    BatchNorm3d as BatchNorm3d,
    GroupNorm as GroupNorm,
    InstanceNorm as InstanceNorm,
    LayerNorm as LayerNorm,
    LocalResponseNorm as LocalResponseNorm,
)
from pycnn.nn.observe import observing as observing
from pycnn.nn.optim import (
    SGD as SGD,
    Adam as Adam,
    AdamW as AdamW,
    RMSprop as RMSprop,
)
from pycnn.nn.optimizer import Optimizer as Optimizer
from pycnn.nn.pooling import (
    AdaptiveAvgPool1d as AdaptiveAvgPool1d,
    AdaptiveAvgPool2d as AdaptiveAvgPool2d,
    AdaptiveAvgPool3d as AdaptiveAvgPool3d,
    AdaptiveMaxPool1d as AdaptiveMaxPool1d,
    AdaptiveMaxPool2d as AdaptiveMaxPool2d,
    AdaptiveMaxPool3d as AdaptiveMaxPool3d,
    AvgPool1d as AvgPool1d,
    AvgPool2d as AvgPool2d,
    AvgPool3d as AvgPool3d,
    GlobalAvgPool as GlobalAvgPool,
    GlobalMaxPool as GlobalMaxPool,
    LPPool1d as LPPool1d,
    LPPool2d as LPPool2d,
    LPPool3d as LPPool3d,
    MaxPool1d as MaxPool1d,
    MaxPool2d as MaxPool2d,
    MaxPool3d as MaxPool3d,
    MaxUnpool1d as MaxUnpool1d,
    MaxUnpool2d as MaxUnpool2d,
    MaxUnpool3d as MaxUnpool3d,
    SumPool1d as SumPool1d,
    SumPool2d as SumPool2d,
    SumPool3d as SumPool3d,
)
from pycnn.nn.recompute import Recompute as Recompute
from pycnn.nn.schedule import (
    Constant as Constant,
    Cosine as Cosine,
    Plateau as Plateau,
    Schedule as Schedule,
    Step as Step,
    Warmup as Warmup,
)
from pycnn.nn.shaping import (
    ChannelShuffle as ChannelShuffle,
    DepthToSpace as DepthToSpace,
    Flatten as Flatten,
    Fold as Fold,
    Max as Max,
    Mean as Mean,
    Min as Min,
    Pad as Pad,
    Permute as Permute,
    PixelShuffle as PixelShuffle,
    PixelUnshuffle as PixelUnshuffle,
    Reshape as Reshape,
    SpaceToDepth as SpaceToDepth,
    Total as Total,
    Unfold as Unfold,
    Upsample as Upsample,
)
