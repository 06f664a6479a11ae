"""What there is to choose where several algorithms compute one result."""

from dataclasses import dataclass
from typing import Protocol

from pycnn.runtime.plan import Plan


@dataclass(frozen=True)
class Candidate:
    """An algorithm on one problem.

    Attributes
    ----------
    name : str
    workspace_bytes : int
        Memory it takes besides arguments and results; 0 if it does not fit.
    fits : bool
        Whether it can be used, within the workspace limit.
    reason : str
        Why it stands where it stands in the order of `auto`, or why it does not fit.
    score : float, optional
        By which `auto` orders those without an estimate, the highest first; None where it goes by
        a rule.
    by_name : bool
        Whether `auto` never takes it.
    measured_us : float, optional
        What `pycnn tune` measured on this very machine.
    estimated_us : float, optional
        By which `auto` orders those that have it, before all others: predicted from the plan alone
        (`pycnn.plan.estimate`).
    """

    name: str
    workspace_bytes: int
    fits: bool
    reason: str
    score: float | None = None
    by_name: bool = False
    measured_us: float | None = None
    estimated_us: float | None = None

    def together(self, other: "Candidate") -> "Candidate":
        """The same algorithm for two directions, one after the other."""
        both = (self, other)
        fits = self.fits and other.fits
        reasons = dict.fromkeys(part.reason for part in both if part.fits == fits)
        most = max(part.workspace_bytes for part in both) if fits else 0
        return Candidate(self.name, most, fits, "; ".join(reasons), by_name=self.by_name)


class Choice(Protocol):
    """One result of an operation, and the algorithms that it can be computed by."""

    @property
    def result(self) -> str:
        """Its name."""

    @property
    def key(self) -> str:
        """Names the problem, whatever machine it is computed on."""

    def candidates(self) -> list[Candidate]:
        """Every algorithm, in the order in which `auto` tries them."""

    def plan(self, algo: str) -> Plan:
        """By one of them, or by "auto"; raises ValueError where that does not fit."""
