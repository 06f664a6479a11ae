"""Cases, oracles, peers and tolerances, for tests and benchmarks; see `pycnn.testing.tested`."""

from importlib import import_module

from pycnn.define.registry import OPERATIONS
from pycnn.testing.tested import Tested

for _op in OPERATIONS.values():  # what speaks for a definition is in the module of the same name
    import_module(type(_op).__module__.replace(".define.", ".testing."))

#: What every operation is held to, by its name.
TESTED: dict[str, Tested] = {name: Tested.of(op) for name, op in OPERATIONS.items()}
