"""Definitions of pooling, in the order of the table of operations."""

from pycnn.define import _pool_lp, _pool_max, _pool_mean, _pool_unpool
from pycnn.define.operation import Operation

_BY_AXES: tuple[tuple[dict, dict], ...] = (
    (_pool_max.MAX_POOL, _pool_max.MAX_POOL_BACKWARD),
    (_pool_mean.AVG_POOL, _pool_mean.AVG_POOL_BACKWARD),
    (_pool_mean.SUM_POOL, _pool_mean.SUM_POOL_BACKWARD),
    (_pool_lp.LP_POOL, _pool_lp.LP_POOL_BACKWARD),
    (_pool_max.ADAPTIVE_MAX_POOL, _pool_max.ADAPTIVE_MAX_POOL_BACKWARD),
    (_pool_mean.ADAPTIVE_AVG_POOL, _pool_mean.ADAPTIVE_AVG_POOL_BACKWARD),
    (_pool_unpool.MAX_UNPOOL, _pool_unpool.MAX_UNPOOL_BACKWARD),
)

DEFINITIONS: tuple[Operation, ...] = (
    *(op for pair in _BY_AXES for axes in (1, 2, 3) for op in (pair[0][axes], pair[1][axes])),
    _pool_max.GLOBAL_MAX_POOL,
    _pool_max.GLOBAL_MAX_POOL_BACKWARD,
    _pool_mean.GLOBAL_AVG_POOL,
    _pool_mean.GLOBAL_AVG_POOL_BACKWARD,
)
