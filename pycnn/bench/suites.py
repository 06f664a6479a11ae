"""The layers of real networks, as suites of cases.

A layer that occurs several times in its network stands here once, with its count. Sources: LeCun
et al. 1998 (LeNet-5), Krizhevsky 2014 (AlexNet, the one-tower version), Simonyan and Zisserman 2015
(VGG-16), Szegedy et al. 2015 (GoogLeNet), He et al. 2016 with the stride in the 3x3 convolution
(ResNet-50 v1.5), Howard et al. 2017 (MobileNet v1), and the five layers of the convolution
benchmarks that S. Chintala kept from 2014 on (soumith).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pycnn.bench.cases import Case, ConvCase, GemmCase, MapCase, PoolCase, RowsCase


@dataclass(frozen=True)
class Layer:
    """A case with its name and the number of times it occurs in the network."""

    name: str
    case: Case
    count: int = 1


@dataclass(frozen=True)
class Conv:
    """A convolution of a suite: C @ H -> K, R / stride, square throughout."""

    c: int
    h: int
    k: int
    r: int
    stride: int = 1
    pad: int | None = None  # R // 2 unless given
    groups: int = 1
    count: int = 1

    def case(self, n: int) -> ConvCase:
        pad = self.r // 2 if self.pad is None else self.pad
        return ConvCase(
            n, self.c, self.h, self.h, self.k, self.r, self.r,
            padding=((pad, pad), (pad, pad)), stride=(self.stride,) * 2, groups=self.groups,
        )  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """A pooling layer of a suite: C @ H, R / stride."""

    c: int
    h: int
    r: int
    stride: int
    pad: int = 0
    ceil_mode: bool = False
    count: int = 1

    def case(self, n: int) -> PoolCase:
        return PoolCase(
            n, self.c, self.h, self.h, self.r, self.r,
            (self.pad,) * 2, (self.stride,) * 2, self.ceil_mode,
        )  # fmt: skip


@dataclass(frozen=True)
class Dense:
    """A fully connected layer of a suite."""

    inputs: int
    outputs: int
    count: int = 1

    def case(self, n: int) -> GemmCase:
        return GemmCase(n, self.outputs, self.inputs)


@dataclass(frozen=True)
class Suite:
    """A network: its layers and the batch it is measured at unless another is asked for.

    Softmax and cross-entropy run over `classes` where the network ends in them, ReLU over the
    output of every convolution.
    """

    name: str
    title: str
    batch: int
    convolutions: tuple[Conv, ...]
    max_pools: tuple[Pool, ...] = ()
    avg_pools: tuple[Pool, ...] = ()
    dense: tuple[Dense, ...] = ()
    classes: int | None = None

    def layers(self, op: str, batch: int | None = None) -> list[Layer]:
        """The layers that `op` is measured on; none where the network has no such layer.

        Parameters
        ----------
        op : str
            A name of `pycnn.bench.operations.OPERATIONS`.
        batch : int, optional
            Default: that of the suite.

        Examples
        --------
        >>> SUITES["lenet5"].layers("conv2d")[0]
        Layer(name='conv1', case=ConvCase(...), count=1)
        """
        n = batch or self.batch
        if op == "conv2d":
            return _numbered("conv", self.convolutions, n)
        if op == "max_pool2d":
            return _numbered("pool", self.max_pools, n)
        if op == "avg_pool2d":
            return _numbered("pool", self.avg_pools, n)
        if op == "gemm":
            return _numbered("fc", self.dense, n)
        if op == "relu":
            return _outputs(self.convolutions, n)
        if op in ("softmax", "cross_entropy") and self.classes:
            return [Layer(op, RowsCase(n, self.classes))]
        return []


def _numbered(stem: str, shapes: Sequence[Any], n: int) -> list[Layer]:
    return [Layer(f"{stem}{i}", s.case(n), s.count) for i, s in enumerate(shapes, start=1)]


def _outputs(convolutions: Iterable[Conv], n: int) -> list[Layer]:
    """The feature maps that the convolutions leave, each shape once."""
    counts: dict[MapCase, int] = {}
    for layer in convolutions:
        _, k, p, q = layer.case(n).y_shape
        case = MapCase(n, k, p, q)
        counts[case] = counts.get(case, 0) + layer.count
    return [Layer(f"relu{i}", c, count) for i, (c, count) in enumerate(counts.items(), start=1)]


def _depthwise(c: int, h: int, stride: int, count: int = 1) -> Conv:
    return Conv(c, h, c, 3, stride, groups=c, count=count)


LENET5 = Suite(
    "lenet5", "LeNet-5", 1,
    (Conv(1, 32, 6, 5, pad=0), Conv(6, 14, 16, 5, pad=0), Conv(16, 5, 120, 5, pad=0)),
    avg_pools=(Pool(6, 28, 2, 2), Pool(16, 10, 2, 2)),
    dense=(Dense(120, 84), Dense(84, 10)),
    classes=10,
)  # fmt: skip

ALEXNET = Suite(
    "alexnet", "AlexNet", 128,
    (
        Conv(3, 224, 64, 11, 4, pad=2), Conv(64, 27, 192, 5),
        Conv(192, 13, 384, 3), Conv(384, 13, 256, 3), Conv(256, 13, 256, 3),
    ),
    max_pools=(Pool(64, 55, 3, 2), Pool(192, 27, 3, 2), Pool(256, 13, 3, 2)),
    dense=(Dense(9216, 4096), Dense(4096, 4096), Dense(4096, 1000)),
    classes=1000,
)  # fmt: skip

VGG16 = Suite(
    "vgg16", "VGG-16", 1,
    (
        Conv(3, 224, 64, 3), Conv(64, 224, 64, 3),
        Conv(64, 112, 128, 3), Conv(128, 112, 128, 3),
        Conv(128, 56, 256, 3), Conv(256, 56, 256, 3, count=2),
        Conv(256, 28, 512, 3), Conv(512, 28, 512, 3, count=2),
        Conv(512, 14, 512, 3, count=3),
    ),
    max_pools=tuple(
        Pool(c, h, 2, 2) for c, h in ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
    ),
    dense=(Dense(25088, 4096), Dense(4096, 4096), Dense(4096, 1000)),
    classes=1000,
)  # fmt: skip

GOOGLENET = Suite(
    "googlenet", "GoogLeNet", 16,
    (
        Conv(3, 224, 64, 7, 2), Conv(192, 28, 32, 5), Conv(192, 28, 64, 1), Conv(512, 14, 48, 5),
        Conv(512, 14, 192, 1), Conv(832, 7, 256, 1), Conv(832, 7, 128, 5),
    ),
    max_pools=(
        Pool(64, 112, 3, 2, ceil_mode=True), Pool(192, 56, 3, 2, ceil_mode=True),
        Pool(192, 28, 3, 1, 1), Pool(480, 28, 3, 2, ceil_mode=True),
        Pool(512, 14, 3, 1, 1), Pool(832, 7, 3, 1, 1),
    ),
    avg_pools=(Pool(1024, 7, 7, 1),),
    dense=(Dense(1024, 1000),),
    classes=1000,
)  # fmt: skip

RESNET50 = Suite(
    "resnet50", "ResNet-50 v1.5", 1,
    (
        Conv(3, 224, 64, 7, 2),
        Conv(64, 56, 64, 1), Conv(64, 56, 64, 3, count=3),
        Conv(64, 56, 256, 1, count=4), Conv(256, 56, 64, 1, count=2),
        Conv(256, 56, 128, 1), Conv(128, 56, 128, 3, 2), Conv(256, 56, 512, 1, 2),
        Conv(128, 28, 512, 1, count=4), Conv(512, 28, 128, 1, count=3),
        Conv(128, 28, 128, 3, count=3),
        Conv(512, 28, 256, 1), Conv(256, 28, 256, 3, 2), Conv(512, 28, 1024, 1, 2),
        Conv(256, 14, 1024, 1, count=6), Conv(1024, 14, 256, 1, count=5),
        Conv(256, 14, 256, 3, count=5),
        Conv(1024, 14, 512, 1), Conv(512, 14, 512, 3, 2), Conv(1024, 14, 2048, 1, 2),
        Conv(512, 7, 2048, 1, count=3), Conv(2048, 7, 512, 1, count=2),
        Conv(512, 7, 512, 3, count=2),
    ),
    max_pools=(Pool(64, 112, 3, 2, 1),),
    avg_pools=(Pool(2048, 7, 7, 1),),
    dense=(Dense(2048, 1000),),
    classes=1000,
)  # fmt: skip

MOBILENET = Suite(
    "mobilenet", "MobileNet v1, depthwise layers", 1,
    (
        _depthwise(32, 112, 1), _depthwise(64, 112, 2), _depthwise(128, 56, 1),
        _depthwise(128, 56, 2), _depthwise(256, 28, 1), _depthwise(256, 28, 2),
        _depthwise(512, 14, 1, count=5), _depthwise(512, 14, 2), _depthwise(1024, 7, 1),
    ),
    avg_pools=(Pool(1024, 7, 7, 1),),
    dense=(Dense(1024, 1000),),
    classes=1000,
)  # fmt: skip

SOUMITH = Suite(
    "soumith", "soumith/convnet-benchmarks", 128,
    (
        Conv(3, 128, 96, 11, pad=0), Conv(64, 64, 128, 9, pad=0), Conv(128, 32, 128, 9, pad=0),
        Conv(128, 16, 128, 7, pad=0), Conv(384, 13, 384, 3, pad=0),
    ),
)  # fmt: skip

SUITES = {
    suite.name: suite for suite in (LENET5, ALEXNET, VGG16, GOOGLENET, RESNET50, MOBILENET, SOUMITH)
}
