from pycnn.ops import *  # noqa: F403
from pycnn.runtime.active import active_backend as active_backend
from pycnn.runtime.backends import (
    BackendStatus as BackendStatus,
    BackendUnavailable as BackendUnavailable,
    backends as backends,
    use_backend as use_backend,
)
from pycnn.runtime.faults import synchronize as synchronize
from pycnn.runtime.random import manual_seed as manual_seed
from pycnn.tape import Variable as Variable, custom_gradient as custom_gradient, grad as grad

__version__: str
__all__: list[str]
