"""The bench takes every operation as its definition has it, gradients too."""

import pytest

from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.defined import Defined, NamedCase
from pycnn.bench.run import QUICK, plan, run
from pycnn.bench.runners import of_pycnn
from pycnn.bench.suites import Layer
from pycnn.testing import TESTED

DEFINED = [name for name, op in OPERATIONS.items() if isinstance(op, Defined)]


@pytest.mark.parametrize("name", DEFINED)
def test_every_case_is_right_in_every_direction(name):
    op = OPERATIONS[name]

    def runners(case, direction, dtype):
        found = of_pycnn("reference", op, case, direction, dtype)
        for each in found:
            each.device = None  # checked only
        return found

    small = [c.name for c in TESTED[name].cases if not c.standard]
    done = []
    for case in map(NamedCase, small):
        for direction in op.directions_of(case):
            dtypes = op.dtypes_of(direction)
            dtype = "float32" if "float32" in dtypes else dtypes[0]
            layer = Layer(case.name, case)
            benchmarks = plan("small", op, [layer], [direction], [dtype], runners)
            for record, _ in run(benchmarks, QUICK, {}):
                assert (record.status, record.reason) == ("checked", "")
                done.append(record)
    assert len(done) >= len(small) > 0
