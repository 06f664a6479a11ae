# Every public function, by the module that has it: read by type checkers, and by __init__.py.
from pycnn.ops.activation.exponential import (
    celu as celu,
)
from pycnn.ops.activation.exponential import (
    celu_backward as celu_backward,
)
from pycnn.ops.activation.exponential import (
    elu as elu,
)
from pycnn.ops.activation.exponential import (
    elu_backward as elu_backward,
)
from pycnn.ops.activation.exponential import (
    selu as selu,
)
from pycnn.ops.activation.exponential import (
    selu_backward as selu_backward,
)
from pycnn.ops.activation.exponential import (
    sigmoid as sigmoid,
)
from pycnn.ops.activation.exponential import (
    sigmoid_backward as sigmoid_backward,
)
from pycnn.ops.activation.exponential import (
    softplus as softplus,
)
from pycnn.ops.activation.exponential import (
    softplus_backward as softplus_backward,
)
from pycnn.ops.activation.exponential import (
    softsign as softsign,
)
from pycnn.ops.activation.exponential import (
    softsign_backward as softsign_backward,
)
from pycnn.ops.activation.exponential import (
    tanh as tanh,
)
from pycnn.ops.activation.exponential import (
    tanh_backward as tanh_backward,
)
from pycnn.ops.activation.gated import (
    gelu as gelu,
)
from pycnn.ops.activation.gated import (
    gelu_backward as gelu_backward,
)
from pycnn.ops.activation.gated import (
    mish as mish,
)
from pycnn.ops.activation.gated import (
    mish_backward as mish_backward,
)
from pycnn.ops.activation.gated import (
    silu as silu,
)
from pycnn.ops.activation.gated import (
    silu_backward as silu_backward,
)
from pycnn.ops.activation.learned import (
    prelu as prelu,
)
from pycnn.ops.activation.learned import (
    prelu_backward as prelu_backward,
)
from pycnn.ops.activation.piecewise import (
    clip as clip,
)
from pycnn.ops.activation.piecewise import (
    clip_backward as clip_backward,
)
from pycnn.ops.activation.piecewise import (
    hardsigmoid as hardsigmoid,
)
from pycnn.ops.activation.piecewise import (
    hardsigmoid_backward as hardsigmoid_backward,
)
from pycnn.ops.activation.piecewise import (
    hardswish as hardswish,
)
from pycnn.ops.activation.piecewise import (
    hardswish_backward as hardswish_backward,
)
from pycnn.ops.activation.piecewise import (
    leaky_relu as leaky_relu,
)
from pycnn.ops.activation.piecewise import (
    leaky_relu_backward as leaky_relu_backward,
)
from pycnn.ops.activation.piecewise import (
    relu as relu,
)
from pycnn.ops.activation.piecewise import (
    relu6 as relu6,
)
from pycnn.ops.activation.piecewise import (
    relu6_backward as relu6_backward,
)
from pycnn.ops.activation.piecewise import (
    relu_backward as relu_backward,
)
from pycnn.ops.conv import (
    conv2d as conv2d,
)
from pycnn.ops.conv import (
    conv2d_backward as conv2d_backward,
)
from pycnn.ops.conv1d import (
    conv1d as conv1d,
)
from pycnn.ops.conv1d import (
    conv1d_backward as conv1d_backward,
)
from pycnn.ops.conv3d import (
    conv3d as conv3d,
)
from pycnn.ops.conv3d import (
    conv3d_backward as conv3d_backward,
)
from pycnn.ops.conv_algorithms import (
    conv2d_algorithms as conv2d_algorithms,
)
from pycnn.ops.conv_int8 import (
    conv2d_integer as conv2d_integer,
)
from pycnn.ops.conv_int8 import (
    qlinear_conv2d as qlinear_conv2d,
)
from pycnn.ops.conv_transpose1d import (
    conv_transpose1d as conv_transpose1d,
)
from pycnn.ops.conv_transpose1d import (
    conv_transpose1d_backward as conv_transpose1d_backward,
)
from pycnn.ops.conv_transpose2d import (
    conv_transpose2d as conv_transpose2d,
)
from pycnn.ops.conv_transpose2d import (
    conv_transpose2d_backward as conv_transpose2d_backward,
)
from pycnn.ops.conv_transpose3d import (
    conv_transpose3d as conv_transpose3d,
)
from pycnn.ops.conv_transpose3d import (
    conv_transpose3d_backward as conv_transpose3d_backward,
)
from pycnn.ops.dropout import (
    dropout as dropout,
)
from pycnn.ops.dropout import (
    dropout2d as dropout2d,
)
from pycnn.ops.dropout import (
    dropout2d_backward as dropout2d_backward,
)
from pycnn.ops.dropout import (
    dropout_backward as dropout_backward,
)
from pycnn.ops.elementwise import (
    add as add,
)
from pycnn.ops.elementwise import (
    add_backward as add_backward,
)
from pycnn.ops.elementwise import (
    add_n as add_n,
)
from pycnn.ops.elementwise import (
    add_n_backward as add_n_backward,
)
from pycnn.ops.elementwise import (
    mul as mul,
)
from pycnn.ops.elementwise import (
    mul_backward as mul_backward,
)
from pycnn.ops.gemm import (
    gemm as gemm,
)
from pycnn.ops.gemm import (
    linear as linear,
)
from pycnn.ops.gemm import (
    linear_backward as linear_backward,
)
from pycnn.ops.gemm import (
    matmul as matmul,
)
from pycnn.ops.loss import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from pycnn.ops.loss import (
    binary_cross_entropy_with_logits_backward as binary_cross_entropy_with_logits_backward,
)
from pycnn.ops.loss import (
    cross_entropy as cross_entropy,
)
from pycnn.ops.loss import (
    cross_entropy_backward as cross_entropy_backward,
)
from pycnn.ops.loss import (
    mse_loss as mse_loss,
)
from pycnn.ops.loss import (
    mse_loss_backward as mse_loss_backward,
)
from pycnn.ops.loss import (
    nll_loss as nll_loss,
)
from pycnn.ops.loss import (
    nll_loss_backward as nll_loss_backward,
)
from pycnn.ops.loss import (
    sum_of_half_squares as sum_of_half_squares,
)
from pycnn.ops.loss import (
    sum_of_half_squares_backward as sum_of_half_squares_backward,
)
from pycnn.ops.movement import (
    channel_shuffle as channel_shuffle,
)
from pycnn.ops.movement import (
    concat as concat,
)
from pycnn.ops.movement import (
    permute as permute,
)
from pycnn.ops.movement import (
    split as split,
)
from pycnn.ops.norm import (
    group_norm as group_norm,
)
from pycnn.ops.norm import (
    group_norm_backward as group_norm_backward,
)
from pycnn.ops.norm import (
    instance_norm as instance_norm,
)
from pycnn.ops.norm import (
    instance_norm_backward as instance_norm_backward,
)
from pycnn.ops.norm import (
    layer_norm as layer_norm,
)
from pycnn.ops.norm import (
    layer_norm_backward as layer_norm_backward,
)
from pycnn.ops.norm import (
    local_response_norm as local_response_norm,
)
from pycnn.ops.norm import (
    local_response_norm_backward as local_response_norm_backward,
)
from pycnn.ops.norm_batch import (
    batch_norm as batch_norm,
)
from pycnn.ops.norm_batch import (
    batch_norm_backward as batch_norm_backward,
)
from pycnn.ops.norm_batch import (
    batch_norm_train as batch_norm_train,
)
from pycnn.ops.norm_batch import (
    batch_norm_train_backward as batch_norm_train_backward,
)
from pycnn.ops.norm_batch import (
    fold_batch_norm as fold_batch_norm,
)
from pycnn.ops.pad import (
    pad as pad,
)
from pycnn.ops.pad import (
    pad_backward as pad_backward,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool1d as adaptive_avg_pool1d,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool1d_backward as adaptive_avg_pool1d_backward,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool2d as adaptive_avg_pool2d,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool2d_backward as adaptive_avg_pool2d_backward,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool3d as adaptive_avg_pool3d,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool3d_backward as adaptive_avg_pool3d_backward,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool1d as adaptive_max_pool1d,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool1d_backward as adaptive_max_pool1d_backward,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool2d as adaptive_max_pool2d,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool2d_backward as adaptive_max_pool2d_backward,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool3d as adaptive_max_pool3d,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool3d_backward as adaptive_max_pool3d_backward,
)
from pycnn.ops.pool_avg import (
    avg_pool1d as avg_pool1d,
)
from pycnn.ops.pool_avg import (
    avg_pool1d_backward as avg_pool1d_backward,
)
from pycnn.ops.pool_avg import (
    avg_pool2d as avg_pool2d,
)
from pycnn.ops.pool_avg import (
    avg_pool2d_backward as avg_pool2d_backward,
)
from pycnn.ops.pool_avg import (
    avg_pool3d as avg_pool3d,
)
from pycnn.ops.pool_avg import (
    avg_pool3d_backward as avg_pool3d_backward,
)
from pycnn.ops.pool_global import (
    global_avg_pool as global_avg_pool,
)
from pycnn.ops.pool_global import (
    global_avg_pool_backward as global_avg_pool_backward,
)
from pycnn.ops.pool_global import (
    global_max_pool as global_max_pool,
)
from pycnn.ops.pool_global import (
    global_max_pool_backward as global_max_pool_backward,
)
from pycnn.ops.pool_lp import (
    lp_pool1d as lp_pool1d,
)
from pycnn.ops.pool_lp import (
    lp_pool1d_backward as lp_pool1d_backward,
)
from pycnn.ops.pool_lp import (
    lp_pool2d as lp_pool2d,
)
from pycnn.ops.pool_lp import (
    lp_pool2d_backward as lp_pool2d_backward,
)
from pycnn.ops.pool_lp import (
    lp_pool3d as lp_pool3d,
)
from pycnn.ops.pool_lp import (
    lp_pool3d_backward as lp_pool3d_backward,
)
from pycnn.ops.pool_max import (
    max_pool1d as max_pool1d,
)
from pycnn.ops.pool_max import (
    max_pool1d_backward as max_pool1d_backward,
)
from pycnn.ops.pool_max import (
    max_pool2d as max_pool2d,
)
from pycnn.ops.pool_max import (
    max_pool2d_backward as max_pool2d_backward,
)
from pycnn.ops.pool_max import (
    max_pool3d as max_pool3d,
)
from pycnn.ops.pool_max import (
    max_pool3d_backward as max_pool3d_backward,
)
from pycnn.ops.pool_sum import (
    sum_pool1d as sum_pool1d,
)
from pycnn.ops.pool_sum import (
    sum_pool1d_backward as sum_pool1d_backward,
)
from pycnn.ops.pool_sum import (
    sum_pool2d as sum_pool2d,
)
from pycnn.ops.pool_sum import (
    sum_pool2d_backward as sum_pool2d_backward,
)
from pycnn.ops.pool_sum import (
    sum_pool3d as sum_pool3d,
)
from pycnn.ops.pool_sum import (
    sum_pool3d_backward as sum_pool3d_backward,
)
from pycnn.ops.pool_unpool import (
    max_unpool1d as max_unpool1d,
)
from pycnn.ops.pool_unpool import (
    max_unpool1d_backward as max_unpool1d_backward,
)
from pycnn.ops.pool_unpool import (
    max_unpool2d as max_unpool2d,
)
from pycnn.ops.pool_unpool import (
    max_unpool2d_backward as max_unpool2d_backward,
)
from pycnn.ops.pool_unpool import (
    max_unpool3d as max_unpool3d,
)
from pycnn.ops.pool_unpool import (
    max_unpool3d_backward as max_unpool3d_backward,
)
from pycnn.ops.reduce import (
    amax as amax,
)
from pycnn.ops.reduce import (
    amax_backward as amax_backward,
)
from pycnn.ops.reduce import (
    amin as amin,
)
from pycnn.ops.reduce import (
    amin_backward as amin_backward,
)
from pycnn.ops.reduce import (
    argmax as argmax,
)
from pycnn.ops.reduce import (
    mean as mean,
)
from pycnn.ops.reduce import (
    mean_backward as mean_backward,
)
from pycnn.ops.reduce import (
    sum as sum,
)
from pycnn.ops.reduce import (
    sum_backward as sum_backward,
)
from pycnn.ops.resize import (
    interpolate as interpolate,
)
from pycnn.ops.resize import (
    interpolate_backward as interpolate_backward,
)
from pycnn.ops.softmax import (
    log_softmax as log_softmax,
)
from pycnn.ops.softmax import (
    log_softmax_backward as log_softmax_backward,
)
from pycnn.ops.softmax import (
    softmax as softmax,
)
from pycnn.ops.softmax import (
    softmax_backward as softmax_backward,
)
from pycnn.ops.topk import (
    topk as topk,
)
from pycnn.ops.topk import (
    topk_backward as topk_backward,
)
from pycnn.ops.unfold import (
    fold as fold,
)
from pycnn.ops.unfold import (
    unfold as unfold,
)
