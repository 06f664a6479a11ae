"""Every operation, by name: loads all of them."""

import pycnn
from pycnn.define import (
    activation,
    add_n,
    conv,
    conv_int8,
    conv_scaled,
    conv_transpose,
    dropout,
    elementwise,
    gemm,
    gemm_int8,
    gemm_scaled,
    grid_sample,
    linear,
    loss,
    movement,
    norm_batch,
    norm_group,
    norm_layer,
    norm_relu,
    norm_response,
    pad,
    pool,
    prelu,
    reduce,
    resize,
    softmax,
    topk,
    unfold,
)
from pycnn.define.operation import Operation

#: In the order of the table of operations.
_FAMILIES = (
    conv,
    conv_transpose,
    conv_int8,
    conv_scaled,
    gemm,
    gemm_int8,
    gemm_scaled,
    linear,
    pool,
    activation,
    prelu,
    norm_batch,
    norm_relu,
    norm_group,
    norm_layer,
    norm_response,
    softmax,
    loss,
    elementwise,
    add_n,
    dropout,
    reduce,
    topk,
    movement,
    pad,
    unfold,
    resize,
    grid_sample,
)

#: Every operation by the name of its public function, gradients after what they belong to.
OPERATIONS: dict[str, Operation] = {
    definition.name: definition for family in _FAMILIES for definition in family.DEFINITIONS
}

for _name in OPERATIONS:
    getattr(pycnn, _name)  # its module says the signature
