"""Cases, oracles, peers and tolerances, for tests and benchmarks; see `pycnn.testing.tested`."""

from pycnn.define.registry import OPERATIONS
from pycnn.testing import (  # noqa: F401  (each says what its classes speak for)
    _class_loss,
    _pointwise_loss,
    _pool_lp,
    _pool_max,
    _pool_mean,
    _pool_unpool,
    _ruled_loss,
    activation,
    add_n,
    conv,
    conv_int8,
    conv_transpose,
    dropout,
    elementwise,
    gemm,
    grid_sample,
    linear,
    loss,
    movement,
    norm_batch,
    norm_group,
    norm_layer,
    norm_response,
    pad,
    prelu,
    reduce,
    resize,
    softmax,
    topk,
    unfold,
)
from pycnn.testing.tested import Tested

#: What every operation is held to, by its name.
TESTED: dict[str, Tested] = {name: Tested.of(op) for name, op in OPERATIONS.items()}
