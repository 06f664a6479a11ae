from pycnn.define.explain import (
    explain as explain,
)

# Every public function, by the module that has it: read by type checkers, and by __init__.py.
from pycnn.ops.activation.clamp import (
    clip as clip,
    clip_backward as clip_backward,
    hardtanh as hardtanh,
    hardtanh_backward as hardtanh_backward,
    relu6 as relu6,
    relu6_backward as relu6_backward,
)
from pycnn.ops.activation.exponential import (
    celu as celu,
    celu_backward as celu_backward,
    elu as elu,
    elu_backward as elu_backward,
    selu as selu,
    selu_backward as selu_backward,
)
from pycnn.ops.activation.gated import (
    gelu as gelu,
    gelu_backward as gelu_backward,
    mish as mish,
    mish_backward as mish_backward,
    silu as silu,
    silu_backward as silu_backward,
)
from pycnn.ops.activation.learned import (
    prelu as prelu,
    prelu_backward as prelu_backward,
)
from pycnn.ops.activation.piecewise import (
    hardsigmoid as hardsigmoid,
    hardsigmoid_backward as hardsigmoid_backward,
    hardswish as hardswish,
    hardswish_backward as hardswish_backward,
    leaky_relu as leaky_relu,
    leaky_relu_backward as leaky_relu_backward,
    relu as relu,
    relu_backward as relu_backward,
)
from pycnn.ops.activation.sigmoid import (
    sigmoid as sigmoid,
    sigmoid_backward as sigmoid_backward,
    softplus as softplus,
    softplus_backward as softplus_backward,
    softsign as softsign,
    softsign_backward as softsign_backward,
    tanh as tanh,
    tanh_backward as tanh_backward,
)
from pycnn.ops.conv import (
    conv2d as conv2d,
    conv2d_backward as conv2d_backward,
)
from pycnn.ops.conv1d import (
    conv1d as conv1d,
    conv1d_backward as conv1d_backward,
)
from pycnn.ops.conv3d import (
    conv3d as conv3d,
    conv3d_backward as conv3d_backward,
)
from pycnn.ops.conv_algorithms import (
    conv2d_algorithms as conv2d_algorithms,
)
from pycnn.ops.conv_int8 import (
    conv2d_integer as conv2d_integer,
    qlinear_conv2d as qlinear_conv2d,
)
from pycnn.ops.conv_scaled import (
    scaled_conv2d as scaled_conv2d,
)
from pycnn.ops.conv_transpose1d import (
    conv_transpose1d as conv_transpose1d,
    conv_transpose1d_backward as conv_transpose1d_backward,
)
from pycnn.ops.conv_transpose2d import (
    conv_transpose2d as conv_transpose2d,
    conv_transpose2d_backward as conv_transpose2d_backward,
)
from pycnn.ops.conv_transpose3d import (
    conv_transpose3d as conv_transpose3d,
    conv_transpose3d_backward as conv_transpose3d_backward,
)
from pycnn.ops.dropout import (
    dropout as dropout,
    dropout2d as dropout2d,
    dropout2d_backward as dropout2d_backward,
    dropout_backward as dropout_backward,
)
from pycnn.ops.elementwise import (
    add as add,
    add_backward as add_backward,
    add_n as add_n,
    add_n_backward as add_n_backward,
    mul as mul,
    mul_backward as mul_backward,
)
from pycnn.ops.gemm import (
    bmm as bmm,
    bmm_backward as bmm_backward,
    gemm as gemm,
    linear as linear,
    linear_backward as linear_backward,
    matmul as matmul,
    matmul_integer as matmul_integer,
    qlinear_matmul as qlinear_matmul,
    scaled_mm as scaled_mm,
)
from pycnn.ops.grid_sample import (
    grid_sample as grid_sample,
    grid_sample_backward as grid_sample_backward,
)
from pycnn.ops.loss.classes import (
    cross_entropy as cross_entropy,
    cross_entropy_backward as cross_entropy_backward,
    nll_loss as nll_loss,
    nll_loss_backward as nll_loss_backward,
)
from pycnn.ops.loss.probability import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_backward as binary_cross_entropy_backward,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward as binary_cross_entropy_with_logits_backward,
    kl_div as kl_div,
    kl_div_backward as kl_div_backward,
)
from pycnn.ops.loss.regression import (
    huber_loss as huber_loss,
    huber_loss_backward as huber_loss_backward,
    l1_loss as l1_loss,
    l1_loss_backward as l1_loss_backward,
    mse_loss as mse_loss,
    mse_loss_backward as mse_loss_backward,
    smooth_l1_loss as smooth_l1_loss,
    smooth_l1_loss_backward as smooth_l1_loss_backward,
    sum_of_half_squares as sum_of_half_squares,
    sum_of_half_squares_backward as sum_of_half_squares_backward,
)
from pycnn.ops.movement import (
    channel_shuffle as channel_shuffle,
    concat as concat,
    depth_to_space as depth_to_space,
    permute as permute,
    pixel_shuffle as pixel_shuffle,
    pixel_unshuffle as pixel_unshuffle,
    space_to_depth as space_to_depth,
    split as split,
)
from pycnn.ops.norm import (
    group_norm as group_norm,
    group_norm_backward as group_norm_backward,
    instance_norm as instance_norm,
    instance_norm_backward as instance_norm_backward,
    layer_norm as layer_norm,
    layer_norm_backward as layer_norm_backward,
    local_response_norm as local_response_norm,
    local_response_norm_backward as local_response_norm_backward,
)
from pycnn.ops.norm_batch import (
    batch_norm as batch_norm,
    batch_norm_backward as batch_norm_backward,
    batch_norm_train as batch_norm_train,
    batch_norm_train_backward as batch_norm_train_backward,
    fold_batch_norm as fold_batch_norm,
)
from pycnn.ops.norm_relu import (
    batch_norm_relu_train as batch_norm_relu_train,
    batch_norm_relu_train_backward as batch_norm_relu_train_backward,
)
from pycnn.ops.pad import (
    pad as pad,
    pad_backward as pad_backward,
)
from pycnn.ops.pool_adaptive_avg import (
    adaptive_avg_pool1d as adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward as adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d as adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward as adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d as adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward as adaptive_avg_pool3d_backward,
)
from pycnn.ops.pool_adaptive_max import (
    adaptive_max_pool1d as adaptive_max_pool1d,
    adaptive_max_pool1d_backward as adaptive_max_pool1d_backward,
    adaptive_max_pool2d as adaptive_max_pool2d,
    adaptive_max_pool2d_backward as adaptive_max_pool2d_backward,
    adaptive_max_pool3d as adaptive_max_pool3d,
    adaptive_max_pool3d_backward as adaptive_max_pool3d_backward,
)
from pycnn.ops.pool_avg import (
    avg_pool1d as avg_pool1d,
    avg_pool1d_backward as avg_pool1d_backward,
    avg_pool2d as avg_pool2d,
    avg_pool2d_backward as avg_pool2d_backward,
    avg_pool3d as avg_pool3d,
    avg_pool3d_backward as avg_pool3d_backward,
)
from pycnn.ops.pool_global import (
    global_avg_pool as global_avg_pool,
    global_avg_pool_backward as global_avg_pool_backward,
    global_max_pool as global_max_pool,
    global_max_pool_backward as global_max_pool_backward,
)
from pycnn.ops.pool_lp import (
    lp_pool1d as lp_pool1d,
    lp_pool1d_backward as lp_pool1d_backward,
    lp_pool2d as lp_pool2d,
    lp_pool2d_backward as lp_pool2d_backward,
    lp_pool3d as lp_pool3d,
    lp_pool3d_backward as lp_pool3d_backward,
)
from pycnn.ops.pool_max import (
    max_pool1d as max_pool1d,
    max_pool1d_backward as max_pool1d_backward,
    max_pool2d as max_pool2d,
    max_pool2d_backward as max_pool2d_backward,
    max_pool3d as max_pool3d,
    max_pool3d_backward as max_pool3d_backward,
)
from pycnn.ops.pool_sum import (
    sum_pool1d as sum_pool1d,
    sum_pool1d_backward as sum_pool1d_backward,
    sum_pool2d as sum_pool2d,
    sum_pool2d_backward as sum_pool2d_backward,
    sum_pool3d as sum_pool3d,
    sum_pool3d_backward as sum_pool3d_backward,
)
from pycnn.ops.pool_unpool import (
    max_unpool1d as max_unpool1d,
    max_unpool1d_backward as max_unpool1d_backward,
    max_unpool2d as max_unpool2d,
    max_unpool2d_backward as max_unpool2d_backward,
    max_unpool3d as max_unpool3d,
    max_unpool3d_backward as max_unpool3d_backward,
)
from pycnn.ops.reduce import (
    mean as mean,
    mean_backward as mean_backward,
    sum as sum,
    sum_backward as sum_backward,
)
from pycnn.ops.reduce_extreme import (
    amax as amax,
    amax_backward as amax_backward,
    amin as amin,
    amin_backward as amin_backward,
    argmax as argmax,
    argmin as argmin,
)
from pycnn.ops.resize import (
    interpolate as interpolate,
    interpolate_backward as interpolate_backward,
)
from pycnn.ops.softmax import (
    log_softmax as log_softmax,
    log_softmax_backward as log_softmax_backward,
    softmax as softmax,
    softmax_backward as softmax_backward,
)
from pycnn.ops.topk import (
    topk as topk,
    topk_backward as topk_backward,
)
from pycnn.ops.unfold import (
    fold as fold,
    unfold as unfold,
)
