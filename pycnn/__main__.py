"""The command ``pycnn``, and ``python -m pycnn``.

The commands are imported inside, so that Ctrl-C ends the program with one line then, too.
"""

import sys

from pycnn.runtime.launcher import is_first


def main() -> int:
    """Run the command line of the process; its exit status."""
    try:
        from pycnn.cli import main as run

        return run()
    except KeyboardInterrupt:
        if is_first():
            print("pycnn: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":  # worker processes of the gate import this module again
    sys.exit(main())
