"""Plans of convolutions of 8-bit integers: a thread an output, or a product on tensor cores.

``direct`` takes any layout. ``implicit_gemm_mma`` wants channels innermost in x, a multiple of
sixteen of them in a group, and in the weight, of which it makes a copy where they are not.
``wgmma``, on sm_90a, takes the same with no zero points, and where there are groups multiples of
128 channels. Where a window is one pixel it is a product, of any number of channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import QUANTISED
from pycnn.plan import _wgmma, conv_wgmma, gemm_wgmma
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
from pycnn.plan.gemm import Flag, aligned, params_of, vectors
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime.plan import Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

FILE, BLOCK = "conv/int8.cu", 256
MMA_FILE, MMA_BLOCK = "conv/int8_mma.cu", 128

HOPPER_FILE = "gemm/13_wgmma_int8.cu"
WINDOWS_FILE = f"conv/{conv_wgmma.ENTRY}_int8.cu"

DIRECT, MMA, HOPPER = ALGORITHMS = ("direct", "implicit_gemm_mma", "wgmma")

#: PTX's names of the types, and the tiles: the largest leaves too few registers to make bytes.
_PTX = {"int8": "s8", "uint8": "u8"}
TILES = _wgmma.TILES[:2]

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


def _pixels(view: View) -> int | None:
    """From a pixel to the next, channels innermost; None where they are not."""
    (n, channels, *extents), (image, channel, *steps) = view.shape, view.strides
    if channel != 1 and channels > 1:
        return None
    return View((n, *extents), (image, *steps), view.dtype).merged(0, len(extents))


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
    names = "x", "weight"  # of the operands, in what is said

    @property
    def key(self) -> str:
        q = self.quantised
        arrays = " ".join(f"{v.dtype} {v.shape} by {v.strides}" for v in (q.problem.x, q.problem.y))
        return f"{self.op} {arrays} {q.problem.weight} {q.problem.windows} {self.output.dtype}"

    def candidates(self) -> list[Candidate]:
        """The one that `auto` takes first."""
        problem, fast = self.quantised.problem, self._fast()
        narrow = problem.filters < WIDE or problem.channels * problem.taps < LONG
        reasons = {DIRECT: "a thread an output"}
        if narrow:
            reasons |= {name: f"{why}, most of a tile idle" for name, why in fast.items()}
        else:
            reasons = fast | reasons
        return [self._candidate(algo, reason) for algo, reason in reasons.items()]

    def _fast(self) -> dict[str, str]:
        """Those on tensor cores, and what they are, in the order of `auto`."""
        return {HOPPER: "Hopper's tensor cores", MMA: "tensor cores"}

    def _candidate(self, algo: str, reason: str) -> Candidate:
        try:
            plan = self._plan(algo)
        except Unsupported as unsupported:
            return Candidate(algo, 0, False, str(unsupported))
        return Candidate(algo, plan.workspace_bytes, True, reason)

    def plan(self, algo: str) -> Plan:
        """Raises ValueError where `algo` does not fit."""
        asked = algo
        if algo == "auto":
            candidates = self.candidates()
            fitting = [candidate.name for candidate in candidates if candidate.fits]
            if not fitting:
                reasons = "; ".join(f"{each.name}: {each.reason}" for each in candidates)
                raise ValueError(f"algo='auto' does not fit; {reasons}")
            algo = fitting[0]
        try:
            plan = self._plan(algo)
        except Unsupported as unsupported:
            raise ValueError(f"algo={algo!r} does not fit; {algo}: {unsupported}") from None
        if asked != "auto" or algo != HOPPER or not plan.launches or len(fitting) == 1:
            return plan
        (*copies, launch), (*_, other) = (self._launches(name)[0] for name in fitting[:2])
        return replace(plan, launches=(*copies, replace(launch, unaligned=other)))

    def _plan(self, algo: str) -> Plan:
        """Raises `Unsupported`."""
        filled = prod(self.quantised.problem.y.shape)
        launches, workspace = self._launches(algo) if filled else ([], {})
        return Plan(self.op, algo, tuple(launches), {"y": self.output}, workspace)

    def _launches(self, algo: str) -> tuple[list[Launch], dict[str, ArraySpec]]:
        planners = {DIRECT: self._direct, MMA: self._on_tensor_cores, HOPPER: self._on_hopper}
        return planners[algo]()

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
        product = replace(product, k=product.k.settled, n=product.n.settled)
        tile, _ = choose(problem, product, 1)
        product, aligned = in_chunks(product, BYTES, tile)
        c = chunked_c(product, BYTES // self.output.dtype.itemsize)
        kernel = Kernel(MMA_FILE, f"int8_mma_{self._entry}", (*self._types, ("TILE", str(tile))))
        tiling = Tiling(kernel, DEPTH[tile], DEPTH[tile], True, Chunked.OPERANDS * aligned | c)
        grid, params = blocks_of(problem, product, tiling, tile, 1, product.k.count)
        weight = "weight_last" if copies else "weight"
        arguments = (*self._arrays(weight), params, self._params())
        return [*copies, Launch(kernel, grid, (MMA_BLOCK, 1, 1), arguments)], workspace

    def _on_hopper(self) -> tuple[list[Launch], dict[str, ArraySpec]]:
        q, own = self.quantised, self._entry
        if q.x_zero or q.weight_zero is not None:
            raise Unsupported("zero points of x or of the weight; allowed: none, which is 0")
        types = ("ELEMENT_A", _PTX[q.problem.dtype]), ("ELEMENT_B", _PTX[q.weight_dtype])
        arguments: tuple[Argument, ...] = (Buffer("y"),)
        last: tuple[Argument, ...] = ()
        if own == "requantised":
            bias = None if q.bias is None else Buffer("bias")
            scales = ("x_scale", "weight_scale", "y_scale", "y_zero_point")
            arguments, last = (*map(Buffer, scales), bias, *arguments), (self._params(),)
        product = self._product()
        if product is None:
            name = conv_wgmma.ENTRY + ("_int8" if own == "forward" else "_requantised")
            kernel = Kernel(WINDOWS_FILE, name, types)
            (*copies, launch), workspace = self._windows(kernel, arguments, tiles=TILES)
            return [*copies, replace(launch, args=(*launch.args, *last))], workspace
        way = _wgmma.best_way(product.m, product.n, product.k, tiles=TILES, dtype=product.dtype)
        result = replace(product, dtype=self.output.dtype.name)
        flags = Flag.C_VECTOR * vectors(result, product.c, (product.m, product.n), contiguous=3)
        maps = gemm_wgmma.operand_maps(product, Buffer("x"), Buffer("weight"), way, False, True)
        params = params_of(product, flags, way.tile)
        name = "gemm_wgmma_int8" if own == "forward" else "gemm_wgmma_requantised"
        launch = Launch(
            Kernel(HOPPER_FILE, name, (*types, *way.defines)),
            way.grid(way.tiles(product.m, product.n, 1)),
            (_wgmma.threads(way.tile), 1, 1),
            (*maps, *arguments, params, *last),
            shared=_wgmma.shared_bytes(way.tile),
        )
        return [launch], {}

    def _windows(
        self, kernel: Kernel, arguments: Sequence[Argument], **ways: Any
    ) -> tuple[list[Launch], dict[str, ArraySpec]]:
        """By Hopper's kernel of windows."""
        p = self.quantised.problem
        p = replace(p, y=replace(p.y, dtype=self.output.dtype.name))
        p, copies, workspace = self._channels_innermost(p)
        weight = Buffer("weight_last" if copies else "weight")
        return [*copies, conv_wgmma.of_bytes(p, weight, kernel, arguments, **ways)], workspace

    def _product(self) -> Gemm | None:
        """What a convolution of single pixels is; raises `Unsupported`."""
        p, one = self.quantised.problem, (1, 1)
        if p.taps != 1 or p.groups != 1 or p.stride != one or any((*p.pad_begin, *p.pad_end)):
            return None
        x_step, y_step = (_pixels(view) for view in (p.x, p.y))
        if x_step is None or y_step is None:
            return None
        product = Gemm(
            prod(p.y.shape) // p.y.shape[1], p.filters, p.channels, p.dtype,
            a=(0, 0, x_step, p.x.strides[1]),
            b=(0, 0, p.weight.strides[1], p.weight.strides[0]),
            c=(0, 0, y_step, 1),
        )  # fmt: skip
        if reason := gemm_wgmma.unsupported(product, aligned(product), self.names):
            raise Unsupported(reason)
        return product

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
        return "forward" if self.output.dtype == np.int32 else "requantised"

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
