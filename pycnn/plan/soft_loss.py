"""Plans of cross-entropy with probabilities of the classes: kernels/loss/soft_cross_entropy.cu."""

from dataclasses import dataclass

import numpy as np

from pycnn.plan._classes import PARTIALS, finish
from pycnn.plan._slices import Team, choose_team, slices
from pycnn.plan._strided import Ints, row_major
from pycnn.plan.loss import POSITIONS, ClassLoss, with_class_axis
from pycnn.runtime.plan import ArraySpec, Buffer, Launch, Plan

OP = "soft_cross_entropy"


@dataclass(frozen=True)
class SoftLoss(ClassLoss):
    """A `ClassLoss` whose targets are as many numbers as there are logits: (N, C, d1, ...)."""

    def team(self) -> Team:
        """Threads for the classes of one position; logits and targets are kept on chip."""
        last = self.count == self.shape[0]
        return choose_team(self.shape[1], last, self.dtype, arrays=2, reserved=POSITIONS)

    def slices(self, team: Team, scores: Ints, *others: Ints) -> np.void:
        return slices(self.shape, 1, (scores, self.target_strides, *others), team, staged=2)


def cross_entropy(problem: SoftLoss, shape: Ints) -> Plan:
    """Plan of `pycnn.cross_entropy`: ``logits``, ``target`` and ``weight`` to ``loss``.

    Parameters
    ----------
    problem : SoftLoss
    shape : tuple of int
        Of the loss.

    Examples
    --------
    >>> p = SoftLoss((8, 10), (10, 1), (10, 1), None, "float32", -100, "mean")
    >>> [launch.kernel.entry for launch in cross_entropy(p, ()).launches]
    ['soft_cross_entropy_rows', 'loss_finish']
    """
    p, team = problem, problem.team()
    reduced, blocks = p.reduction != "none", team.blocks(p.count)
    if reduced:
        blocks = min(blocks, PARTIALS)
    launches: tuple[Launch, ...] = ()
    workspace = {}
    if p.count:
        results = (None, Buffer("costs")) if reduced else (Buffer("loss"), None)
        places = p.slices(team, p.scores_strides, with_class_axis(row_major(p.positions)))
        arguments = (Buffer("logits"), Buffer("target"), p.weight, *results, places, p.classes)
        kernel = p.kernel(OP, team.name)
        launches = (Launch(kernel, (blocks, 1, 1), team.block, arguments, team.shared),)
    if reduced:
        divisor = p.count if p.reduction == "mean" else 1.0
        launches += (finish(p.dtype, blocks, "loss", divisor=divisor),)
        workspace = {"costs": ArraySpec((blocks,), p.sums)} if blocks else {}
    return p.plan("cross_entropy", launches, "loss", shape, workspace)


def cross_entropy_backward(problem: SoftLoss, dy_strides: Ints, shape: Ints) -> Plan:
    """Plan of `pycnn.cross_entropy_backward`: ``dy`` and the above to ``dlogits``.

    Parameters
    ----------
    problem : SoftLoss
    dy_strides : tuple of int
        In elements; empty for the gradient of a sum or mean.
    shape : tuple of int
        Of the logits as they were given.
    """
    p, team, op = problem, problem.team(), "cross_entropy_backward"
    if p.count == 0:
        return p.plan(op, (), "dlogits", shape, {})
    dy = with_class_axis(dy_strides or (0,) * len(p.positions))
    buffers = (Buffer("dy"), Buffer("logits"), Buffer("target"), p.weight, Buffer("dlogits"))
    mean = np.float64(1.0 / p.count if p.reduction == "mean" else 1.0)
    places = p.slices(team, p.scores_strides, dy, row_major(p.shape))
    launch = Launch(
        p.kernel(OP, f"backward_{team.name}"),
        (team.blocks(p.count), 1, 1),
        team.block,
        (*buffers, mean, places, p.classes),
        team.shared,
    )
    return p.plan(op, (launch,), "dlogits", shape, {})
