"""Definitions of pooling, by number of spatial axes where there is one of each."""

from pycnn.define._pool_lp import LP_POOL, LP_POOL_BACKWARD
from pycnn.define._pool_max import (
    ADAPTIVE_MAX_POOL,
    ADAPTIVE_MAX_POOL_BACKWARD,
    GLOBAL_MAX_POOL,
    GLOBAL_MAX_POOL_BACKWARD,
    MAX_POOL,
    MAX_POOL_BACKWARD,
)
from pycnn.define._pool_mean import (
    ADAPTIVE_AVG_POOL,
    ADAPTIVE_AVG_POOL_BACKWARD,
    AVG_POOL,
    AVG_POOL_BACKWARD,
    GLOBAL_AVG_POOL,
    GLOBAL_AVG_POOL_BACKWARD,
    SUM_POOL,
    SUM_POOL_BACKWARD,
)
from pycnn.define._pool_unpool import MAX_UNPOOL, MAX_UNPOOL_BACKWARD
from pycnn.define.operation import Operation

__all__ = [
    "ADAPTIVE_AVG_POOL",
    "ADAPTIVE_AVG_POOL_BACKWARD",
    "ADAPTIVE_MAX_POOL",
    "ADAPTIVE_MAX_POOL_BACKWARD",
    "AVG_POOL",
    "AVG_POOL_BACKWARD",
    "DEFINITIONS",
    "GLOBAL_AVG_POOL",
    "GLOBAL_AVG_POOL_BACKWARD",
    "GLOBAL_MAX_POOL",
    "GLOBAL_MAX_POOL_BACKWARD",
    "LP_POOL",
    "LP_POOL_BACKWARD",
    "MAX_POOL",
    "MAX_POOL_BACKWARD",
    "MAX_UNPOOL",
    "MAX_UNPOOL_BACKWARD",
    "SUM_POOL",
    "SUM_POOL_BACKWARD",
]

_BY_AXES: tuple[tuple[dict, dict], ...] = (
    (MAX_POOL, MAX_POOL_BACKWARD),
    (AVG_POOL, AVG_POOL_BACKWARD),
    (SUM_POOL, SUM_POOL_BACKWARD),
    (LP_POOL, LP_POOL_BACKWARD),
    (ADAPTIVE_MAX_POOL, ADAPTIVE_MAX_POOL_BACKWARD),
    (ADAPTIVE_AVG_POOL, ADAPTIVE_AVG_POOL_BACKWARD),
    (MAX_UNPOOL, MAX_UNPOOL_BACKWARD),
)

DEFINITIONS: tuple[Operation, ...] = (
    *(op for pair in _BY_AXES for axes in (1, 2, 3) for op in (pair[0][axes], pair[1][axes])),
    GLOBAL_MAX_POOL,
    GLOBAL_MAX_POOL_BACKWARD,
    GLOBAL_AVG_POOL,
    GLOBAL_AVG_POOL_BACKWARD,
)
