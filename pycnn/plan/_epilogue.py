"""What GEMM-shaped kernels do to a sum before they store it: kernels/include/pycnn/epilogue.cuh."""

from dataclasses import dataclass

import numpy as np

from pycnn.runtime.plan import Argument, Buffer

#: enum Activation.
ACTIVATIONS = {
    None: 0,
    "relu": 1,
    "relu6": 2,
    "leaky_relu": 3,
    "silu": 4,
    "sigmoid": 5,
}

#: struct EpilogueParams.
PARAMS = np.dtype(
    [(f"{name}_k", np.int64) for name in ("bias", "scale", "shift")]
    + [(f"residual_{axis}", np.int64) for axis in "nkzpq"]
    + [("slope", np.float64), ("activation", np.int32), ("reserved", np.int32)]
)


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
        given = {name: getattr(self, name) for name in ("bias", "scale", "shift", "residual")}
        pointers = [None if value is None else Buffer(name) for name, value in given.items()]
        return (*pointers, self.params())

    def params(self) -> np.void:
        """The struct by value."""
        strides = self.residual or (0, 0, 0, 0)
        n, k, *spatial = strides
        z, p, q = (0, *spatial)[-3:]
        steps = (self.bias or 0, self.scale or 0, self.shift or 0, n, k, z, p, q)
        code = ACTIVATIONS[self.activation]
        made: np.void = np.array([(*steps, self.slope, code, 0)], PARAMS)[0]
        return made


#: Stores the sum as it is.
IDENTITY = Epilogue()
