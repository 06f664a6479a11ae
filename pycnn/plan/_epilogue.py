"""What GEMM-shaped kernels do to a sum before they store it: kernels/include/pycnn/epilogue.cuh."""

from dataclasses import dataclass

import numpy as np

from pycnn.runtime.plan import Argument, Buffer
from pycnn.runtime.structs import struct

#: enum Activation.
ACTIVATIONS = {
    None: 0,
    "relu": 1,
    "relu6": 2,
    "leaky_relu": 3,
    "silu": 4,
    "sigmoid": 5,
}


@dataclass(frozen=True)
class Epilogue:
    """y = activation((sum + bias[k]) * scale[k] + shift[k] + residual).

    Attributes
    ----------
    bias, scale, shift : int or None
        Element stride of the array of that name, one value a channel; None where there is none.
    residual : tuple of int or None
        Element strides of the residual (N, K, P, Q) or (N, K, Z, P, Q).
    activation : str or None
        A name of `ACTIVATIONS`.
    slope : float
        Of leaky_relu, for negative values.
    """

    bias: int | None = None
    scale: int | None = None
    shift: int | None = None
    residual: tuple[int, ...] | None = None
    activation: str | None = None
    slope: float = 0.01

    def arguments(self) -> tuple[Argument, ...]:
        """Kernel arguments: four pointers, then the struct."""
        operands = {name: getattr(self, name) for name in ("bias", "scale", "shift", "residual")}
        pointers = [None if value is None else Buffer(name) for name, value in operands.items()]
        return (*pointers, self.params())

    def params(self) -> np.void:
        """The struct by value."""
        strides = self.residual or (0, 0, 0, 0)
        n, k, *spatial = strides
        z, p, q = (0, *spatial)[-3:]
        return struct(
            "pycnn/epilogue.cuh", "EpilogueParams",
            bias_k=self.bias or 0,
            scale_k=self.scale or 0,
            shift_k=self.shift or 0,
            residual_n=n, residual_k=k, residual_z=z, residual_p=p, residual_q=q,
            slope=self.slope,
            activation=ACTIVATIONS[self.activation],
            reserved=0,
        )  # fmt: skip


#: Stores the sum as it is.
IDENTITY = Epilogue()
