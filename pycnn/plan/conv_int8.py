"""Plans of convolutions of 8-bit integers: a thread an output, or a product on tensor cores.

``direct`` takes any layout. ``implicit_gemm_mma`` wants channels innermost in x, a multiple of
sixteen of them in a group, and in the weight, of which it makes a copy where they are not.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import QUANTISED
from pycnn.plan._copy import Place, copy_launch
from pycnn.plan._implicit import Chunked
from pycnn.plan._strided import row_major
from pycnn.plan.choice import Candidate
from pycnn.plan.conv_implicit import Tiling, blocks_of, choose, forward_product
from pycnn.plan.conv_implicit_mma import (
    BYTES,
    DEPTH,
    LONG,
    WIDE,
    chunked_c,
    in_chunks,
    require_channels,
)
from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid
from pycnn.runtime.plan import ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

FILE, BLOCK = "conv/int8.cu", 256
MMA_FILE, MMA_BLOCK = "conv/int8_mma.cu", 128

DIRECT, MMA = ALGORITHMS = ("direct", "implicit_gemm_mma")

#: Channels that one instruction multiplies and adds.
WORD = 4


@dataclass(frozen=True)
class Quantised:
    """A convolution of integers.

    Attributes
    ----------
    problem : Problem
        Its dtype is that of x.
    weight_dtype : str
    x_zero : bool
        Whether x has a zero point other than 0.
    weight_zero : int or None
        Element stride of the weight's zero points along the filters, 0 for a single one; None
        if there are none.
    weight_scale : int
        The same of the weight's scales, where there are some.
    bias : int or None
        Element stride of the bias, None if there is none.
    """

    problem: Problem
    weight_dtype: str
    x_zero: bool = True
    weight_zero: int | None = 0
    weight_scale: int = 0
    bias: int | None = None


def words(problem: Problem) -> bool:
    """Whether four channels are one word of x and of the weight, as far as extents tell."""
    return problem.channels % WORD == 0 and in_words(problem.x) and in_words(problem.weight)


def in_words(view: View) -> bool:
    """Whether channels (axis 1) are neighbours, and every other step is one of whole words.

    Examples
    --------
    >>> shape = (1, 8, 3, 5)
    >>> [in_words(View.contiguous(shape, "int8", last)) for last in (True, False)]
    [True, False]
    """
    others = [
        stride
        for axis, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True))
        if axis != 1 and extent > 1
    ]
    return view.strides[1] == 1 and all(stride % WORD == 0 for stride in others)


@dataclass(frozen=True)
class Convolving:
    """A convolution of integers by one of `ALGORITHMS` (`pycnn.plan.choice`).

    Attributes
    ----------
    quantised : Quantised
    op : str
        "conv2d_integer": y is the sums; "qlinear_conv2d": scaled, rounded and saturated.
    limit : int
        Largest workspace in bytes.
    output : ArraySpec
        y as its caller sees it.
    """

    quantised: Quantised
    op: str
    limit: int
    output: ArraySpec
    result = "y"

    @property
    def key(self) -> str:
        q = self.quantised
        arrays = " ".join(f"{v.dtype} {v.shape} by {v.strides}" for v in (q.problem.x, q.problem.y))
        return f"{self.op} {arrays} {q.problem.weight} {q.problem.windows} {self.output.dtype}"

    def candidates(self) -> list[Candidate]:
        """The one that `auto` takes first."""
        problem = self.quantised.problem
        narrow = problem.filters < WIDE or problem.channels * problem.taps < LONG
        reasons = {MMA: "tensor cores", DIRECT: "a thread an output"}
        if narrow:
            reasons = {DIRECT: reasons[DIRECT], MMA: "tensor cores, most of a tile idle"}
        return [self._candidate(algo, reason) for algo, reason in reasons.items()]

    def _candidate(self, algo: str, reason: str) -> Candidate:
        try:
            plan = self._plan(algo)
        except Unsupported as unsupported:
            return Candidate(algo, 0, False, str(unsupported))
        return Candidate(algo, plan.workspace_bytes, True, reason)

    def plan(self, algo: str) -> Plan:
        """Raises ValueError where `algo` does not fit."""
        if algo == "auto":
            algo = next(candidate.name for candidate in self.candidates() if candidate.fits)
        try:
            return self._plan(algo)
        except Unsupported as unsupported:
            raise ValueError(f"algo={algo!r} does not fit; {algo}: {unsupported}") from None

    def _plan(self, algo: str) -> Plan:
        """Raises `Unsupported`."""
        planner = {DIRECT: self._direct, MMA: self._on_tensor_cores}[algo]
        launches, workspace = planner() if prod(self.quantised.problem.y.shape) else ([], {})
        return Plan(self.op, algo, tuple(launches), {"y": self.output}, workspace)

    def _direct(self) -> tuple[list[Launch], dict[str, ArraySpec]]:
        problem = self.quantised.problem
        grid = flat_grid(prod(problem.y.shape), BLOCK, "the elements of y")
        arguments = (*self._arrays("weight"), problem.params(), self._params())
        kernel = Kernel(FILE, f"int8_{self._entry}", self._types)
        return [Launch(kernel, grid, (BLOCK, 1, 1), arguments)], {}

    def _on_tensor_cores(self) -> tuple[list[Launch], dict[str, ArraySpec]]:
        problem = self.quantised.problem
        require_channels(problem, "forward", BYTES)
        problem, copies, workspace = self._channels_innermost(problem)
        product = forward_product(problem)
        tile, _ = choose(problem, product, 1)
        product, aligned = in_chunks(product, BYTES, tile)
        c = chunked_c(product, BYTES // self.output.dtype.itemsize)
        kernel = Kernel(MMA_FILE, f"int8_mma_{self._entry}", (*self._types, ("TILE", str(tile))))
        tiling = Tiling(kernel, DEPTH[tile], DEPTH[tile], True, Chunked.OPERANDS * aligned | c)
        grid, params = blocks_of(problem, product, tiling, tile, 1, product.k.count)
        weight = "weight_last" if copies else "weight"
        arguments = (*self._arrays(weight), params, self._params())
        return [*copies, Launch(kernel, grid, (MMA_BLOCK, 1, 1), arguments)], workspace

    def _channels_innermost(
        self, problem: Problem
    ) -> tuple[Problem, list[Launch], dict[str, ArraySpec]]:
        """The problem with such a weight, and what makes a copy of it in the workspace."""
        order = (0, 2, 3, 1)
        weight, needed = problem.weight, prod(problem.weight.shape)
        if weight.strides[1] == 1:
            return problem, [], {}
        if needed > self.limit:
            raise Unsupported(
                f"a copy of the weight with its channels innermost needs {needed} bytes of "
                f"workspace; allowed: {self.limit}"
            )
        shape, strides = (tuple(v[axis] for axis in order) for v in (weight.shape, weight.strides))
        packed = row_major(shape)
        target = Place(Buffer("weight_last"), packed)
        copy = copy_launch(shape, Place(Buffer("weight"), strides), target, 1)
        turned = tuple(packed[order.index(axis)] for axis in range(4))
        spec = ArraySpec((needed,), np.dtype(np.int8))
        return (
            replace(problem, weight=replace(weight, strides=turned)),
            [copy] if copy else [],
            {"weight_last": spec},
        )

    @property
    def _entry(self) -> str:
        return "forward" if self.op == "conv2d_integer" else "requantised"

    @property
    def _types(self) -> tuple[tuple[str, str], ...]:
        q = self.quantised
        return ("X_TYPE", QUANTISED[q.problem.dtype]), ("W_TYPE", QUANTISED[q.weight_dtype])

    def _arrays(self, weight: str) -> tuple[Buffer | None, ...]:
        """In the order of the kernels; null pointers for what is absent."""
        q = self.quantised
        x_zero = Buffer("x_zero_point") if q.x_zero else None
        w_zero = None if q.weight_zero is None else Buffer("weight_zero_point")
        if self._entry == "forward":
            return Buffer("x"), Buffer(weight), x_zero, w_zero, Buffer("y")
        x = (Buffer("x"), Buffer("x_scale"), x_zero)
        w = (Buffer(weight), Buffer("weight_scale"), w_zero)
        bias = None if q.bias is None else Buffer("bias")
        return (*x, *w, Buffer("y_scale"), Buffer("y_zero_point"), bias, Buffer("y"))

    def _params(self) -> np.void:
        q, limits = self.quantised, np.iinfo(self.output.dtype)
        return struct(
            "pycnn/int8.cuh",
            "Int8Params",
            weight_zero_k=q.weight_zero or 0,
            weight_scale_k=q.weight_scale,
            bias_k=q.bias or 0,
            lowest=limits.min,
            highest=limits.max,
            words=words(q.problem),
            reserved=0,
        )
