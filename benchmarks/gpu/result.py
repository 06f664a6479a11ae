"""What became of a stage: its outcome, counts, and what is worth a line."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PASSED, FAILED, PARTIAL, SKIPPED = "pass", "FAIL", "partial", "skipped"


@dataclass(frozen=True)
class Result:
    """Of one stage.

    Attributes
    ----------
    outcome : str
        ``"pass"``, ``"FAIL"``, ``"partial"`` (nothing is wrong in what there was time for) or
        ``"skipped"``.
    what : str
        One line with the counts.
    details : sequence of str
        What failed, one line each.
    finished : bool
        Whether there is nothing left to go on with.
    seconds : float
        That it took.
    date : str
        When it ended.
    """

    outcome: str
    what: str = ""
    details: Sequence[str] = ()
    finished: bool = True
    seconds: float = 0.0
    date: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, returned: Any) -> "Result":
        """What a stage returned: a result, or whether nothing was wrong."""
        if isinstance(returned, cls):
            return returned
        return cls(PASSED if returned else FAILED)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Result":
        return cls(**{**stored, "details": tuple(stored["details"])})


def verdict(*, wrong: int, left: int, done: int) -> str:
    """Outcome by counts: something wrong, something left; and nothing done is not passed.

    Examples
    --------
    >>> verdict(wrong=0, left=3, done=5), verdict(wrong=1, left=3, done=5)
    ('partial', 'FAIL')
    >>> verdict(wrong=0, left=0, done=0)
    'FAIL'
    """
    if wrong or not (done or left):
        return FAILED
    return PARTIAL if left else PASSED
