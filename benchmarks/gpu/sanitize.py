"""Stage ``sanitize``: every kernel once on ragged problems, watched for bad accesses and races."""

import shutil
import sys

from benchmarks.gpu.limited import limited

#: Seconds that the stage may last.
LIMIT = 100


def sanitize() -> bool:
    """Every kernel once on ragged problems, watched for bad accesses and for races."""
    tool = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if tool is None:
        print("skipped: compute-sanitizer is not installed (it comes with the CUDA toolkit)")
        return True
    good = True
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "3", sys.executable]
        command += ["-m", "benchmarks.gpu", "once"]
        status = limited(command, LIMIT // 2)
        print(f"{check}: {'no finding' if status == 0 else f'exit status {status}'}", flush=True)
        good &= status == 0
    return good
