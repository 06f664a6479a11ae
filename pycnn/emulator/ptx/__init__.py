"""PTX, the code that NVIDIA's compiler makes, run on this machine's processor."""

from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.module import PtxKernel, PtxModule

__all__ = ["PtxError", "PtxKernel", "PtxModule"]
