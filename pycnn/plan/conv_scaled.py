"""Plans of convolutions of 8-bit floats with scales: a thread an output, or Hopper's tensor cores.

``direct`` takes any layout. ``wgmma``, on sm_90a, wants channels innermost in x, a multiple of
sixteen of them, or of 128 in each of several groups, and in the weight, of which it makes a copy
where they are not.
"""

from math import prod

from pycnn.dtypes import FLOAT8
from pycnn.plan import conv_wgmma
from pycnn.plan._epilogue import Epilogue
from pycnn.plan._wgmma import Cluster, Tile
from pycnn.plan.conv_int8 import DIRECT, HOPPER, Convolving
from pycnn.plan.conv_problem import flat_grid
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch
from pycnn.runtime.structs import struct

FILE, BLOCK = "conv/scaled.cu", 256
HOPPER_FILE = f"conv/{conv_wgmma.ENTRY}_float8.cu"

ALGORITHMS = (DIRECT, HOPPER)

#: Tiles with their clusters, and blocks that share out sums: of all that convolutions have, those
#: that are estimated to be within 5 % of the best for ResNet-50 and VGG-16 together.
CLUSTERS: dict[Tile, tuple[Cluster, ...]] = {
    (128, 64): ((1, 1), (1, 4)),
    (128, 128): ((2, 1),),
    (128, 256): ((2, 1),),
    (192, 128): ((2, 1),),
}
ALONG: dict[Tile, tuple[int, ...]] = {(128, 64): (4, 8)}


class Scaling(Convolving):
    """By one of `ALGORITHMS`; `quantised` has neither zero point."""

    def _fast(self) -> dict[str, str]:
        return {HOPPER: "Hopper's tensor cores"}

    def _launches(self, algo: str) -> tuple[list[Launch], dict[str, ArraySpec]]:
        return {DIRECT: self._direct, HOPPER: self._on_hopper}[algo]()

    @property
    def _arguments(self) -> tuple[Buffer | None, ...]:
        """What is multiplied with sums, and added to them."""
        bias = None if self.quantised.bias is None else Buffer("bias")
        return Buffer("x_scale"), Buffer("weight_scale"), bias

    @property
    def _scalar(self) -> tuple[str, str]:
        return "SCALAR", SCALAR[self.output.dtype.name]

    def _direct(self) -> tuple[list[Launch], dict[str, ArraySpec]]:
        q, problem, names = self.quantised, self.quantised.problem, list(FLOAT8)
        types = {"x_type": names.index(problem.dtype), "w_type": names.index(q.weight_dtype)}
        own = struct(FILE, "ScaledConvParams", scale_k=q.weight_scale, **types)
        arguments = (Buffer("x"), Buffer("weight"), *self._arguments, Buffer("y"))
        launch = Launch(
            Kernel(FILE, "scaled_conv2d", (self._scalar,)),
            flat_grid(prod(problem.y.shape), BLOCK, "the elements of y"),
            (BLOCK, 1, 1),
            (*arguments, problem.params(bias_k=q.bias or 0), own),
        )
        return [launch], {}

    def _on_hopper(self) -> tuple[list[Launch], dict[str, ArraySpec]]:
        q = self.quantised
        types = ("ELEMENT_A", FLOAT8[q.problem.dtype]), ("ELEMENT_B", FLOAT8[q.weight_dtype])
        kernel = Kernel(HOPPER_FILE, f"{conv_wgmma.ENTRY}_float8", (self._scalar, *types))
        # The bias comes after the scale, as a shift does.
        epilogue = Epilogue(scale=q.weight_scale, shift=q.bias).params()
        arguments = (Buffer("y"), *self._arguments, epilogue)
        return self._windows(kernel, arguments, clusters=CLUSTERS, along=ALONG, beside=True)
