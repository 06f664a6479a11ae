"""What a matrix product is, to its plans.

Transposes, views and batches are all strides, so one description, :class:`Gemm`, covers the public
operations and the products inside convolution.
"""

from dataclasses import KW_ONLY, dataclass, replace

from pycnn.plan._epilogue import IDENTITY, Epilogue

#: Element strides (outer batch, inner batch, row, column).
Strides = tuple[int, int, int, int]

AXES = ("outer", "inner", "row", "col")


@dataclass(frozen=True)
class Gemm:
    """C (m, n) = A (m, k) B (k, n), for every (outer, inner) pair of a two-level batch.

    Attributes
    ----------
    m, n, k : int
        Extents. k may be 0: the product is then zero.
    dtype : str
        A name of `pycnn.dtypes.FLOATS`.
    a, b, c : (outer, inner, row, col)
        Element strides of the operands; a transposed operand has row and column swapped. One of
        the strides of C is 1.
    batch : (outer, inner), default (1, 1)
        Extents of the batch, e.g. images and groups.
    epilogue : Epilogue, default nothing
        What happens to every sum before it is stored; its `residual` only says that there is one.
    channel : "row" or "col", default "col"
        Which index of C the channels of the epilogue follow.
    channels : int, default 0
        Channels from one inner batch to the next, e.g. K/G from one group to the next.
    residual : (outer, inner, row, col), default zeros
        Element strides of the residual.
    accumulate : bool, default False
        Add what C holds, before the epilogue.
    wide : bool, default False
        C is of the dtype in which `dtype` accumulates, and gets the sums as they are: no epilogue.
    """

    m: int
    n: int
    k: int
    dtype: str
    _: KW_ONLY
    a: Strides
    b: Strides
    c: Strides
    batch: tuple[int, int] = (1, 1)
    epilogue: Epilogue = IDENTITY
    channel: str = "col"
    channels: int = 0
    residual: Strides = (0, 0, 0, 0)
    accumulate: bool = False
    wide: bool = False

    def __post_init__(self) -> None:
        if min(self.m, self.n, *self.batch) < 1 or self.k < 0:
            raise ValueError(
                f"m={self.m}, n={self.n}, k={self.k}, batch={self.batch}; allowed: k >= 0, others "
                ">= 1 (nothing is launched for an empty result)"
            )
        if 1 not in (*self.c[2:], self.m, self.n):
            raise ValueError(f"c={self.c}; allowed: row or column stride 1")
        if self.channel not in ("row", "col"):
            raise ValueError(f"channel={self.channel!r}; allowed: 'row', 'col'")

    @property
    def rows_are_contiguous(self) -> bool:
        """Whether the columns of C follow each other in memory, as the kernels want it."""
        return self.c[3] == 1 or self.n == 1

    @property
    def transposed(self) -> "Gemm":
        """The same product as C^T = B^T A^T."""
        return replace(
            self,
            m=self.n,
            n=self.m,
            a=_turn(self.b),
            b=_turn(self.a),
            c=_turn(self.c),
            channel="col" if self.channel == "row" else "row",
            residual=_turn(self.residual),
        )


def _turn(strides: Strides) -> Strides:
    outer, inner, row, col = strides
    return outer, inner, col, row
