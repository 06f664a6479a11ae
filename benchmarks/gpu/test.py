"""Stage ``test``: the test suite on ``cuda`` alone."""

import sys

from benchmarks.gpu.limited import limited

#: Seconds that the stage may last.
LIMIT = 300


def test() -> bool:
    """The test suite, on ``cuda`` alone."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", "cuda", "tests"]
    return limited(command, LIMIT, PYCNN_TEST_BACKENDS="cuda") == 0
