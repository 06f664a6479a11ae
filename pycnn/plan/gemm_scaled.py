"""Plans of products of 8-bit floats with scales: a thread an output, or Hopper's tensor cores."""

from dataclasses import dataclass, replace

from pycnn.dtypes import FLOAT8, numpy_dtype
from pycnn.plan import _wgmma, gemm_wgmma
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.choice import Candidate
from pycnn.plan.conv_problem import Unsupported, flat_grid
from pycnn.plan.gemm import Flag, aligned, params_of, vectors
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

FILE, BLOCK = "gemm/scaled.cu", 256
HOPPER_FILE = "gemm/12_wgmma_float8.cu"

ALGORITHMS = ("direct", "wgmma")


@dataclass(frozen=True)
class Scaled:
    """scale_a scale_b A B + bias (`pycnn.plan.choice`).

    Attributes
    ----------
    problem : Gemm
        Its dtype is that of A.
    b_dtype, dtype : str
        Of B; of the result and the bias.
    bias : int or None
        Element stride, None if there is none.
    """

    problem: Gemm
    b_dtype: str
    dtype: str
    bias: int | None = None
    result = "y"

    @property
    def key(self) -> str:
        p = self.problem
        size = f"m {p.m} n {p.n} k {p.k} a {p.a[2:]} b {p.b[2:]}"
        return f"scaled_mm {p.dtype} {self.b_dtype} {self.dtype} {size} bias {self.bias}"

    def candidates(self) -> list[Candidate]:
        """The one that `auto` takes first."""
        reason = gemm_wgmma.unsupported(self.problem, aligned(self.problem))
        fast = Candidate("wgmma", 0, not reason, reason or "Hopper's tensor cores")
        direct = Candidate("direct", 0, True, "a thread an output: any strides, any GPU")
        try:
            self._grid()
        except Unsupported as refused:
            direct = Candidate("direct", 0, False, str(refused))
        return [fast, direct]

    def plan(self, algo: str) -> Plan:
        """Raises ValueError where `algo` does not fit."""
        spec = ArraySpec((self.problem.m, self.problem.n), numpy_dtype(self.dtype))
        ways = {one.name: one for one in self.candidates()}
        fitting = [name for name, one in ways.items() if one.fits]
        if algo == "auto" and not fitting:
            reasons = "; ".join(f"{name}: {one.reason}" for name, one in ways.items())
            raise ValueError(f"algo='auto' does not fit; {reasons}")
        name = fitting[0] if algo == "auto" else algo
        if not ways[name].fits:
            raise ValueError(f"algo={algo!r} does not fit: {ways[name].reason}")
        launch = self._direct() if name == "direct" else self._on_hopper()
        if algo == "auto" and fitting == ["wgmma", "direct"]:
            launch = replace(launch, unaligned=self._direct())
        return Plan("scaled_mm", name, (launch,), {"y": spec})

    def _bias(self) -> Buffer | None:
        return None if self.bias is None else Buffer("bias")

    def _grid(self) -> tuple[int, int, int]:
        return flat_grid(self.problem.m * self.problem.n, BLOCK, "the elements of y")

    def _direct(self) -> Launch:
        p, names = self.problem, list(FLOAT8)
        params = struct(
            FILE, "ScaledParams", m=p.m, n=p.n, k=p.k,
            a_row=p.a[2], a_col=p.a[3], b_row=p.b[2], b_col=p.b[3], bias_col=self.bias or 0,
            a_type=names.index(p.dtype), b_type=names.index(self.b_dtype),
        )  # fmt: skip
        operands = [Buffer(name) for name in ("a", "b", "scale_a", "scale_b")]
        return Launch(
            Kernel(FILE, "scaled_mm", (("SCALAR", SCALAR[self.dtype]),)),
            self._grid(),
            (BLOCK, 1, 1),
            (*operands, self._bias(), Buffer("y"), params),
        )

    def _on_hopper(self) -> Launch:
        p, y = self.problem, Buffer("y")
        way = _wgmma.best_way(p.m, p.n, p.k, dtype=p.dtype)
        result = replace(p, dtype=self.dtype)
        of_y = gemm_wgmma.result_map(y, result)
        flags = Flag.C_VECTOR * vectors(result, p.c, (p.m, p.n), contiguous=3)
        flags |= Flag.C_BOXES * (of_y is not None)
        types = (
            ("SCALAR", SCALAR[self.dtype]),
            ("ELEMENT_A", FLOAT8[p.dtype]),
            ("ELEMENT_B", FLOAT8[self.b_dtype]),
        )
        return Launch(
            Kernel(HOPPER_FILE, "gemm_wgmma_float8", (*types, *way.defines)),
            way.grid(way.tiles(p.m, p.n, 1)),
            (_wgmma.threads(way.tile), 1, 1),
            (
                *gemm_wgmma.operand_maps(p, Buffer("a"), Buffer("b"), way, False, True),
                of_y or _wgmma.NO_MAP,
                y, Buffer("scale_a"), Buffer("scale_b"), self._bias(),
                Epilogue(bias=self.bias).params(), params_of(p, flags, way.tile),
            ),
            shared=_wgmma.shared_bytes(way.tile),
        )  # fmt: skip
