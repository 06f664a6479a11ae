"""Every operation that can be measured, by name."""

from pycnn.bench.operations.base import Operation
from pycnn.bench.operations.conv import Conv2d
from pycnn.bench.operations.dense import CrossEntropy, Gemm, Relu, Softmax
from pycnn.bench.operations.pool import AvgPool2d, MaxPool2d

OPERATIONS: dict[str, Operation] = {
    op.name: op
    for op in (Conv2d(), MaxPool2d(), AvgPool2d(), Relu(), Softmax(), CrossEntropy(), Gemm())
}
