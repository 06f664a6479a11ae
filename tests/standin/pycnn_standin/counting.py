"""What the stand-in driver was asked for: for tests of what a step may not do.

from pycnn_standin.counting import counted

with counted() as counts:
    trainer.step(x, labels)
assert counts["synchronisations"] == 0
"""

import contextlib
import ctypes
import itertools
from collections.abc import Iterator

from pycnn_standin import LIBRARIES


def counts() -> dict[str, int]:
    """Everything counted since the process started, by name.

    ``synchronisations`` are waits for a device, a stream or an event, and copies that wait
    (``cudaMemcpy``); a copy by a stream counts as a copy alone. ``allocations`` and ``frees`` are
    those of the driver, not those of CuPy's pool.
    """
    library = ctypes.CDLL(str(LIBRARIES / "libcuda.so.1"))
    library.standin_counter_names.restype = ctypes.POINTER(ctypes.c_char_p)
    names = library.standin_counter_names()
    known = [name.decode() for name in itertools.takewhile(bool, names)]
    values = (ctypes.c_uint64 * len(known))()
    library.standin_counts(values)
    return dict(zip(known, values, strict=True))


@contextlib.contextmanager
def counted() -> Iterator[dict[str, int]]:
    """A dict that holds, when the block has ended, what was counted in it."""
    before = counts()
    found: dict[str, int] = {}
    yield found
    found.update({name: value - before[name] for name, value in counts().items()})
