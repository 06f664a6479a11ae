"""The command, see `pycnn.testing.fuzz`."""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence

from pycnn.testing import TESTED, fuzz
from pycnn.testing.fuzz.check import run
from pycnn.testing.fuzz.draw import SEED

BACKENDS = ("reference", "emulator", "checked")

#: Bytes of address space that `main` lives in.
MEMORY = 2**34


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m pycnn.testing.fuzz", description=fuzz.__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="stop after so many")
    parser.add_argument("--cases", type=int, default=2**62, help="or after so many calls")
    parser.add_argument("--backend", choices=BACKENDS, default="reference")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--op", action="append", default=[], choices=TESTED, metavar="NAME")
    parser.add_argument("--dtype", action="append", default=[], help="only these")
    parser.add_argument("--oracle", action="store_true", help="leave PyTorch out")
    chosen = parser.parse_args(arguments)
    with contextlib.suppress(ImportError):  # a call that asks for more is a fault, not the system's
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch = False
    if not chosen.oracle:
        with contextlib.suppress(ImportError):
            import torch as _  # noqa: F401

            torch = True
    numbers = range(chosen.first, chosen.first + chosen.cases)
    tally = run(
        numbers,
        chosen.backend,
        seed=chosen.seed,
        names=chosen.op,
        dtypes=chosen.dtype,
        torch=torch,
        until=time.monotonic() + chosen.seconds,
        say=lambda line: print(line, flush=True),
    )
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in tally.outcomes.most_common())
    judges = "the oracle and PyTorch" if torch else "the oracle; PyTorch is not here"
    print(f"{chosen.backend}: {tally.outcomes.total()} calls: {outcomes}; held to {judges}")
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
