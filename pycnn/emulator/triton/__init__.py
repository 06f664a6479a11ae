"""Triton's kernels with no GPU: its own launcher, on the emulator.

`use` puts a driver of the emulator's in place of Triton's. Triton compiles a kernel as for a GPU,
and the PTX that comes out runs on this machine's processor: on tensors of PyTorch's CPU build or
NumPy arrays, and watched if ``checked=True``.
"""

from pycnn.emulator.triton.switch import use

__all__ = ["use"]
