from pycnn.ops import *  # noqa: F403
from pycnn.runtime.active import active_backend as active_backend
from pycnn.runtime.backends import (
    BackendStatus as BackendStatus,
)
from pycnn.runtime.backends import (
    BackendUnavailable as BackendUnavailable,
)
from pycnn.runtime.backends import (
    backends as backends,
)
from pycnn.runtime.backends import (
    use_backend as use_backend,
)
from pycnn.runtime.faults import synchronize as synchronize

__version__: str
__all__: list[str]
