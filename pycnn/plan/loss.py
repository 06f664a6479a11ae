"""Plans of the losses over class indices: a pass over the scores, and sums in two stages."""

from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._classes import PARTIALS, THREADS, finish, weight_total
from pycnn.plan._row_vectors import RowTeam, last_axis_team
from pycnn.plan._slices import Team, choose_team, slices
from pycnn.plan._strided import Ints, row_major, strided
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

#: Bytes of struct Positions of kernels/include/pycnn/classes.cuh.
POSITIONS = 256 * 16

#: Where rows of logits stay in registers.
VECTORS_FILE = "loss/cross_entropy_vectors.cu"


@dataclass(frozen=True)
class ClassLoss:
    """The parameters of a loss whose targets are class indices.

    Attributes
    ----------
    shape : tuple of int
        Of the logits or log-probabilities: (N, C, d1, ...).
    scores_strides, target_strides : tuple of int
        In elements.
    weight_stride : int or None
        In elements; None without class weights.
    dtype : str
        Of the scores, the weights and the loss.
    ignore_index : int
    reduction : {"none", "sum", "mean"}
    label_smoothing : float
    narrow : bool
        Whether the targets are int32, not int64.
    """

    shape: Ints
    scores_strides: Ints
    target_strides: Ints
    weight_stride: int | None
    dtype: str
    ignore_index: int
    reduction: str
    label_smoothing: float = 0.0
    narrow: bool = False

    @property
    def positions(self) -> Ints:
        """Shape of the target."""
        return self.shape[:1] + self.shape[2:]

    @property
    def count(self) -> int:
        """Number of positions."""
        return prod(self.positions)

    @property
    def weight(self) -> Buffer | None:
        return None if self.weight_stride is None else Buffer("weight")

    @property
    def classes(self) -> np.void:
        """struct Classes by value."""
        e = self.label_smoothing
        return struct(
            "pycnn/classes.cuh",
            "Classes",
            weight_stride=self.weight_stride or 0,
            ignore_index=self.ignore_index,
            count=self.shape[1],
            narrow=self.narrow,
            hard=1.0 - e,
            smooth=e / self.shape[1],
        )

    @property
    def sums(self) -> np.dtype:
        """dtype in which costs are added."""
        return np.dtype(FLOATS[self.dtype].accumulate)

    def kernel(self, op: str, name: str) -> Kernel:
        return Kernel(f"loss/{op}.cu", f"{op}_{name}", (("SCALAR", SCALAR[self.dtype]),))

    def row_kernel(self, direction: str) -> Kernel:
        """That of `row_team`."""
        defines = (("SCALAR", SCALAR[self.dtype]), ("SMOOTH", str(int(self.label_smoothing > 0))))
        return Kernel(VECTORS_FILE, f"cross_entropy_{direction}", defines)

    def team(self) -> Team:
        """Threads for the classes of one position; their scores are kept on chip."""
        last = prod(self.shape[2:]) == 1
        return choose_team(self.shape[1], last, self.dtype, arrays=1, reserved=POSITIONS)

    def slices(self, team: Team, scores: Ints, *others: Ints) -> np.void:
        """struct Slices by value: scores, target, then operands with `others` as strides."""
        operands = (scores, with_class_axis(self.target_strides), *others)
        return slices(self.shape, 1, operands, team, staged=1)

    def row_team(self) -> RowTeam | None:
        """Threads that keep the scores of a position in registers, if they can."""
        return last_axis_team(self.shape, 1, self.dtype, self.scores_strides)

    def rows(self, dy: Ints = ()) -> np.void:
        """struct Rows by value; `dy`: strides of the gradients of positions, if they differ."""
        return struct(
            VECTORS_FILE, "Rows",
            count=self.count, target=self.target_strides[0], gradient=dy[0] if dy else 0,
            length=self.shape[1],
        )  # fmt: skip

    def plan(
        self,
        op: str,
        launches: tuple[Launch, ...],
        output: str,
        shape: Ints,
        workspace: dict[str, ArraySpec],
        algo: str = "",
    ) -> Plan:
        spec = ArraySpec(shape, numpy_dtype(self.dtype))
        return Plan(op, algo or self.team().name, launches, {output: spec}, workspace)


def cross_entropy(problem: ClassLoss, shape: Ints) -> Plan:
    """Plan of `pycnn.cross_entropy`: ``logits``, ``target`` and ``weight`` to ``loss``.

    Parameters
    ----------
    problem : ClassLoss
    shape : tuple of int
        Of the loss.

    Examples
    --------
    >>> p = ClassLoss((8, 10), (10, 1), (1,), None, "float32", -100, "mean")
    >>> [launch.kernel.entry for launch in cross_entropy(p, ()).launches]
    ['cross_entropy_rows', 'loss_finish']
    """
    p, team = problem, problem.team()
    buffers = (Buffer("logits"), Buffer("target"), p.weight)
    if rows := p.row_team():
        kernel = p.row_kernel(rows.entry)
        return _forward("cross_entropy", p, shape, kernel, rows, buffers, (p.rows(), p.classes))
    layout = with_class_axis(row_major(p.positions))
    last = (p.slices(team, p.scores_strides, layout), p.classes)
    kernel = p.kernel("cross_entropy", team.name)
    return _forward("cross_entropy", p, shape, kernel, team, buffers, last)


def nll_loss(problem: ClassLoss, shape: Ints) -> Plan:
    """Plan of `pycnn.nll_loss`: ``log_probabilities``, ``target`` and ``weight`` to ``loss``.

    Parameters
    ----------
    problem, shape
        As for `cross_entropy`.
    """
    p = problem
    scores = p.scores_strides[:1] + p.scores_strides[2:]
    operands = (scores, p.target_strides, row_major(p.positions))
    places = strided(p.positions, operands)
    last = (np.int64(p.count), np.int64(p.scores_strides[1]), places, p.classes)
    team = Team("positions", (THREADS, 1, 1), THREADS, 0, 0, 0)
    buffers = (Buffer("log_probabilities"), Buffer("target"), p.weight)
    kernel = p.kernel("nll_loss", team.name)
    return _forward("nll_loss", p, shape, kernel, team, buffers, last)


def _forward(
    op: str,
    p: ClassLoss,
    shape: Ints,
    kernel: Kernel,
    team: Team | RowTeam,
    buffers: tuple[Argument, ...],
    last: tuple[Argument, ...],
) -> Plan:
    """A launch that leaves costs or their partial sums, and one that adds these."""
    reduced, mean = p.reduction != "none", p.reduction == "mean"
    blocks = team.blocks(p.count)
    if reduced:
        blocks = min(blocks, PARTIALS)
    partials = (Buffer("costs"), Buffer("weights"))
    results: tuple[Argument, ...] = (None, *partials) if reduced else (Buffer("loss"), None, None)
    launches: tuple[Launch, ...] = ()
    if p.count:
        arguments = (*buffers, *results, *last)
        launches = (Launch(kernel, (blocks, 1, 1), team.block, arguments, team.shared),)
    workspace = {}
    if reduced:
        launches += (finish(p.dtype, blocks, "loss", below=mean),)
        if blocks:
            workspace = {name: ArraySpec((blocks,), p.sums) for name in ("costs", "weights")}
    return p.plan(op, launches, "loss", shape, workspace, team.name)


def cross_entropy_backward(problem: ClassLoss, dy_strides: Ints, shape: Ints) -> Plan:
    """Plan of `pycnn.cross_entropy_backward`: ``dy`` and the above to ``dlogits``.

    Parameters
    ----------
    problem : ClassLoss
    dy_strides : tuple of int
        In elements; empty for the gradient of a sum or mean.
    shape : tuple of int
        Of the logits as they were given.

    Examples
    --------
    >>> p = ClassLoss((8, 10), (10, 1), (1,), None, "float32", -100, "mean")
    >>> [launch.kernel.entry for launch in cross_entropy_backward(p, (), (8, 10)).launches]
    ['loss_target_weights', 'loss_total', 'cross_entropy_backward_rows']
    """
    return _backward("cross_entropy", problem, dy_strides, shape, "dlogits", Buffer("logits"))


def nll_loss_backward(problem: ClassLoss, dy_strides: Ints, shape: Ints) -> Plan:
    """Plan of `pycnn.nll_loss_backward`: ``dy``, ``target``, ``weight`` to ``dlog_probabilities``.

    Parameters
    ----------
    problem, dy_strides, shape
        As for `cross_entropy_backward`.
    """
    return _backward("nll_loss", problem, dy_strides, shape, "dlog_probabilities")


def _backward(
    op: str, p: ClassLoss, dy_strides: Ints, shape: Ints, output: str, *scores: Buffer
) -> Plan:
    """A launch that writes all gradients, after the sum of the weights where it divides by it."""
    if p.count == 0:
        return p.plan(f"{op}_backward", (), output, shape, {})
    before: tuple[Launch, ...] = ()
    workspace = {}
    if p.reduction == "mean":
        blocks, before = weight_total(
            p.dtype, p.count, p.positions, p.target_strides, p.weight, p.classes
        )
        workspace = {"weights": ArraySpec((blocks,), p.sums), "total": ArraySpec((), p.sums)}
    ends = (p.weight, Buffer(output))
    starts = (Buffer("dy"), Buffer("total") if before else None, *scores, Buffer("target"))
    team: Team | RowTeam = p.team()
    kernel = p.kernel(op, f"backward_{team.name}")
    if scores and (rows := p.row_team()):
        team, places = rows, p.rows(dy_strides)
        kernel = p.row_kernel(f"backward_{rows.entry}")
    else:
        layout = row_major(p.shape)
        dy = with_class_axis(dy_strides or (0,) * len(p.positions))
        places = p.slices(p.team(), p.scores_strides if scores else layout, dy, layout)
    arguments: tuple[Argument, ...] = (*starts, *ends, places, p.classes)
    launch = Launch(kernel, (team.blocks(p.count), 1, 1), team.block, arguments, team.shared)
    return p.plan(f"{op}_backward", (*before, launch), output, shape, workspace, team.name)


def with_class_axis(strides: Ints) -> Ints:
    """Strides over (N, d1, ...) as strides over (N, C, d1, ...) that stand still along C."""
    return (*strides[:1], 0, *strides[1:])
