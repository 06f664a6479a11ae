"""What becomes of a stage."""

import enum


class Outcome(enum.Enum):
    """Of a stage; false where something is wrong. Skipped is not passed."""

    PASSED = "passed"
    PARTIAL = "passed as far as its time went"
    SKIPPED = "skipped"
    FAILED = "FAILED"

    def __bool__(self) -> bool:
        return self is not Outcome.FAILED
