"""The problems that are measured: shapes and the arithmetic that follows from them alone.

A case prints as one word, and that word parses back into it (:mod:`pycnn.bench.grammar`).
"""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

from pycnn.bench import grammar
from pycnn.bench.grammar import Letter
from pycnn.define.validate import Pair
from pycnn.shapes import conv_out

Shape = tuple[int, ...]
Padding = tuple[Pair, Pair]

NO_PAD: Padding = ((0, 0), (0, 0))


class Case:
    """What every case can do: print as the word that names it, and change its batch."""

    BATCH: ClassVar[str] = "n"
    EXAMPLE: ClassVar[str]

    def __str__(self) -> str:
        return grammar.render(self)

    @property
    def batch(self) -> int:
        return getattr(self, self.BATCH)

    def with_batch(self, batch: int) -> Self:
        return replace(self, **{self.BATCH: batch})  # type: ignore[type-var]


@dataclass(frozen=True)
class ConvCase(Case):
    """A convolution layer: x (N, C, H, W) and weight (K, C/G, R, S) to y (N, K, P, Q).

    Examples
    --------
    >>> case = grammar.parse(ConvCase, "n1c3h224w224k64r7s7p3u2")
    >>> case.y_shape, case.macs
    ((1, 64, 112, 112), 118013952)
    """

    EXAMPLE: ClassVar[str] = "n1c64h56w56k64r3s3p1u2"

    n: Annotated[int, Letter("n", "batch")]
    c: Annotated[int, Letter("c", "input channels")]
    h: Annotated[int, Letter("h", "input height")]
    w: Annotated[int, Letter("w", "input width")]
    k: Annotated[int, Letter("k", "output channels")]
    r: Annotated[int, Letter("r", "filter height")]
    s: Annotated[int, Letter("s", "filter width")]
    padding: Annotated[Padding, Letter("p", "padding (p1, p1x2 or p1x0x1x0)", "sides", 0)] = NO_PAD
    stride: Annotated[Pair, Letter("u", "stride (u2 or u2x1)", "pair")] = (1, 1)
    dilation: Annotated[Pair, Letter("d", "dilation (d2 or d2x1)", "pair")] = (1, 1)
    groups: Annotated[int, Letter("g", "groups")] = 1

    def __post_init__(self) -> None:
        if self.c % self.groups or self.k % self.groups:
            raise ValueError(
                f"g{self.groups} does not divide both c{self.c} and k{self.k} into equal groups"
            )
        _require_output(self.p, self.q)

    @property
    def p(self) -> int:
        return conv_out(self.h, *self.padding[0], self.r, self.stride[0], self.dilation[0])

    @property
    def q(self) -> int:
        return conv_out(self.w, *self.padding[1], self.s, self.stride[1], self.dilation[1])

    @property
    def x_shape(self) -> Shape:
        return self.n, self.c, self.h, self.w

    @property
    def w_shape(self) -> Shape:
        return self.k, self.c // self.groups, self.r, self.s

    @property
    def y_shape(self) -> Shape:
        return self.n, self.k, self.p, self.q

    @property
    def macs(self) -> int:
        """Multiply-adds of the forward convolution, those with padding counted like any other."""
        return self.n * self.k * self.p * self.q * (self.c // self.groups) * self.r * self.s


@dataclass(frozen=True)
class PoolCase(Case):
    """A pooling layer: x (N, C, H, W) to y (N, C, P, Q)."""

    EXAMPLE: ClassVar[str] = "n1c64h112w112r3s3p1u2"

    n: Annotated[int, Letter("n", "batch")]
    c: Annotated[int, Letter("c", "channels")]
    h: Annotated[int, Letter("h", "input height")]
    w: Annotated[int, Letter("w", "input width")]
    r: Annotated[int, Letter("r", "window height")]
    s: Annotated[int, Letter("s", "window width")]
    pad: Annotated[Pair, Letter("p", "padding (p1 or p1x2)", "pair", 0)] = (0, 0)
    stride: Annotated[Pair, Letter("u", "stride (u2 or u2x1)", "pair")] = (1, 1)
    ceil_mode: Annotated[bool, Letter("e", "ceil mode (e1)", "switch", 0)] = False

    def __post_init__(self) -> None:
        if 2 * self.pad[0] > self.r or 2 * self.pad[1] > self.s:
            raise ValueError(f"padding {self.pad} is more than half of the window")
        _require_output(self.p, self.q)

    @property
    def p(self) -> int:
        pad = self.pad[0]
        return conv_out(self.h, pad, pad, self.r, self.stride[0], ceil_mode=self.ceil_mode)

    @property
    def q(self) -> int:
        pad = self.pad[1]
        return conv_out(self.w, pad, pad, self.s, self.stride[1], ceil_mode=self.ceil_mode)

    @property
    def x_shape(self) -> Shape:
        return self.n, self.c, self.h, self.w

    @property
    def y_shape(self) -> Shape:
        return self.n, self.c, self.p, self.q


@dataclass(frozen=True)
class MapCase(Case):
    """An operation on every element of a feature map (N, C, H, W)."""

    EXAMPLE: ClassVar[str] = "n1c64h56w56"

    n: Annotated[int, Letter("n", "batch")]
    c: Annotated[int, Letter("c", "channels")]
    h: Annotated[int, Letter("h", "height")]
    w: Annotated[int, Letter("w", "width")]

    @property
    def x_shape(self) -> Shape:
        return self.n, self.c, self.h, self.w


@dataclass(frozen=True)
class RowsCase(Case):
    """An operation along the rows of (N, C): softmax and its loss."""

    EXAMPLE: ClassVar[str] = "n128c1000"

    n: Annotated[int, Letter("n", "rows")]
    c: Annotated[int, Letter("c", "classes")]


@dataclass(frozen=True)
class GemmCase(Case):
    """A fully connected layer: a (M, K), weight (N, K), result (M, N)."""

    BATCH: ClassVar[str] = "m"
    EXAMPLE: ClassVar[str] = "m128n1000k4096"

    m: Annotated[int, Letter("m", "rows, the batch of a layer")]
    n: Annotated[int, Letter("n", "columns, the output features")]
    k: Annotated[int, Letter("k", "terms of a sum, the input features")]


def _require_output(p: int, q: int) -> None:
    if p < 1 or q < 1:
        raise ValueError("the window does not fit into the padded input")
