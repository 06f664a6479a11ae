"""``python -m pycnn``: the same as the command ``pycnn``."""

import sys

from pycnn.cli import main

if __name__ == "__main__":  # worker processes of the gate import this module again
    sys.exit(main())
