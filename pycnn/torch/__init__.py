"""pycnn as a backend of PyTorch: operations, layers, whole models, and `torch.compile`.

``pycnn.torch.conv2d(x, weight)`` is `pycnn.conv2d` on tensors, with autograd. CPU tensors are
computed by the active backend (``reference`` or ``emulator``), CUDA tensors by our kernels on
PyTorch's current stream (not yet tried on a GPU), both on the memory of the tensors.
"""

from pycnn.runtime.extras import import_extra

import_extra("torch", "torch", "pycnn.torch")

# After the error that names the extra.
from pycnn.torch.compiler import compile_backend  # noqa: E402
from pycnn.torch.layers import replace, replaced, restore  # noqa: E402
from pycnn.torch.mode import backend  # noqa: E402
from pycnn.torch.register import functions  # noqa: E402

__all__ = [
    "backend",
    "compile_backend",
    "replace",
    "replaced",
    "restore",
    *functions,
]

globals().update(functions)
