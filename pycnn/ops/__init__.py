"""The functional API: every operation validates its arguments, makes a plan and launches it."""

from pycnn.ops.activation import relu, relu_backward
from pycnn.ops.conv import conv2d, conv2d_algorithms, conv2d_backward
from pycnn.ops.gemm import gemm
from pycnn.ops.loss import cross_entropy, cross_entropy_backward
from pycnn.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from pycnn.ops.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_algorithms",
    "conv2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "gemm",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_backward",
]
