"""What holds for every operation, made from its definition: right results on every backend.

One test body a property; the rows are `pycnn.testing.TESTED` times their cases. What is special
to an operation (NaN, ties, its own bad settings) is tested under the name of its family.
"""

import copy

import numpy as np
import pytest
from op_checks import assert_matches, orders, view_of

import pycnn
from pycnn.define.call import Arguments
from pycnn.define.conv_int8 import INT8
from pycnn.define.operation import Gradient
from pycnn.dtypes import FLOAT8, FLOATS
from pycnn.emulator import counting
from pycnn.runtime.backends import stand_in_executor
from pycnn.testing import TESTED
from pycnn.testing.problem import Problem

#: As `python3 -m benchmarks.gpu.once --case` and `pycnn bench --case` take them.
PROBLEMS = [
    Problem(tested, case, dtype)
    for tested in TESTED.values()
    for case in tested.cases
    for dtype in tested.op.dtypes
    if dtype in FLOATS or tested.op.dtypes in (INT8, tuple(FLOAT8))  # others: in their own tests
]
#: Those of one operation and type are one test: ten thousand tests would take longer than they run.
SMALL: dict[tuple[str, str], list[Problem]] = {}
for problem in PROBLEMS:
    if not problem.case.standard:
        SMALL.setdefault((problem.tested.op.name, problem.dtype), []).append(problem)
STREAMS = [p for p in PROBLEMS if p.case.standard and p.dtype == "float32"
           and p.tested.op.bound == "bandwidth"]  # fmt: skip
EACH = pytest.mark.parametrize("tested", TESTED.values(), ids=TESTED)
VIEWS = ("transposed", "stepped", "reversed", "misaligned")


def call(tested, given, settings):
    """What the public function returns."""
    return tested.invoke(getattr(pycnn, tested.op.name), given, settings)


def expected(tested, settings, given):
    """What the oracle says, and how long the sums behind it are, by name."""
    with np.errstate(all="ignore"):
        found = tested.oracle(settings, given)
    terms = tested.terms(settings, given)
    return found, dict.fromkeys(found, terms) if isinstance(terms, int) else terms


def check(backend, tested, case, given):
    """The public function gives what the oracle says."""
    settings = tested.settings(case)
    wanted, terms = expected(tested, settings, given)
    outputs = tested.op.describe(given, **settings).outputs
    assert list(outputs) == list(wanted)
    views = {name: backend.array(a) for name, a in given.items()}
    actuals = call(tested, views, settings)
    actuals += tuple(views[n] for n, new in tested.op.updates.items() if new in outputs)
    for (name, want), actual in zip(wanted.items(), actuals, strict=True):
        own = outputs[name].dtype
        if own.name in FLOATS:
            assert_matches(actual, np.asarray(want), own.name, terms[name], backend)
        else:
            got = backend.numpy(actual)
            assert got.dtype == own
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("name", "dtype"), SMALL)
def test_matches_the_oracle(backend, rng, name, dtype):
    failed: dict[str, Exception] = {}
    for problem in SMALL[name, dtype]:
        tested, case = problem.tested, problem.case
        same_numbers = copy.deepcopy(rng)  # whatever the cases before this one drew
        try:
            check(backend, tested, case, tested.draw(case, same_numbers, dtype))
        except Exception as error:
            failed[str(problem)] = error
    if failed:  # what merely cannot run here, last
        first = min(failed.values(), key=lambda error: "allowed: via=" in str(error))
        first.add_note(f"failed: {', '.join(failed)}")
        raise first


@pytest.mark.parametrize("kind", VIEWS)
@EACH
def test_views(backend, rng, tested, kind):
    case = tested.typical
    given = tested.draw(case, rng, tested.typical_dtype)
    check(backend, tested, case, {n: view_of(a, kind) for n, a in given.items()})


@pytest.mark.parametrize("backend", ["reference"], indirect=True)
@EACH
def test_inputs_may_be_read_only(backend, rng, tested):
    case = tested.typical
    given = tested.draw(case, rng, tested.typical_dtype)
    for name, array in given.items():
        array.flags.writeable = name in tested.op.updates
    check(backend, tested, case, given)


@EACH
def test_same_bits_under_every_schedule(backend, rng, monkeypatch, tested):
    case = tested.typical
    given = {n: backend.array(a) for n, a in tested.draw(case, rng, tested.typical_dtype).items()}
    results = []
    for variable, value in orders(backend):
        monkeypatch.setenv(variable, value)
        returned = call(tested, given, tested.settings(case))
        results.append([backend.numpy(a).tobytes() for a in returned])
    assert all(r == results[0] for r in results)


#: Of what keeps windows in registers, by family and algorithm: bytes asked of L1 over those that
#: are necessary, and those of stores over what is written. What two threads share, both ask L1 for;
#: of rows that are no whole vectors, such as 55 elements, a gradient is stored by every second
#: element at a time.
BY_VECTORS = {
    ("pool", "planes"): (4.5, 2.4),
    ("pool", "channels"): (2.9, 1.05),
    ("resize", "double"): (3.5, 1.2),
    ("norm", "rows by vectors"): (2.4, 1.05),
    ("norm", "few"): (2.1, 1.05),  # parameters, by every thread
    ("movement", "strips"): (1.2, 1.15),
    ("movement", "rows"): (1.4, 1.05),  # a gradient reads edges once more
}


@pytest.mark.parametrize("backend", ["checked"], indirect=True)  # which counts the traffic
@pytest.mark.parametrize("problem", STREAMS, ids=str)
def test_moves_nothing_unnecessary(backend, rng, problem):
    tested, case = problem.tested, problem.case
    given = tested.draw(case, rng, "float32")
    with counting() as log:
        returned = call(tested, given, tested.settings(case))
    traffic = log.total
    described = tested.op.describe(given, **tested.settings(case))
    key = tested.op.family, tested.op.plan(described).algo
    if key in BY_VECTORS:
        most, of_stores = BY_VECTORS[key]
        assert traffic.bytes_moved <= most * traffic.bytes_necessary
        written = sum(array.nbytes for array in returned)
        assert traffic.global_store_sectors * 32 <= of_stores * written
        return
    assert traffic.bytes_moved <= tested.traffic * traffic.bytes_necessary
    assert traffic.bytes_moved <= tested.traffic * tested.op.necessary_bytes(described)


@pytest.mark.parametrize("name", [name for name, t in TESTED.items() if t.op.takes_out])
def test_out_takes_the_first_result(backend, rng, name):
    tested = TESTED[name]
    case = tested.typical
    given = {n: backend.array(a) for n, a in tested.draw(case, rng, tested.typical_dtype).items()}
    settings = tested.settings(case)
    want = call(tested, given, settings)[0]
    out = want.copy()
    out[...] = 0
    returned = tested.invoke(getattr(pycnn, tested.op.name), given, {**settings, "out": out})
    assert returned[0] is out
    assert backend.numpy(out).tobytes() == backend.numpy(want).tobytes()
    for name in tested.op.in_place:
        if given[name].flags.c_contiguous and given[name].shape == want.shape:
            mine = dict(given)
            mine[name] = given[name].copy()
            tested.invoke(getattr(pycnn, tested.op.name), mine, {**settings, "out": mine[name]})
            assert backend.numpy(mine[name]).tobytes() == backend.numpy(want).tobytes()


class Nothing:
    """An executor that must not be reached."""

    name = "emulator"

    def run(self, plan, arrays, out=None):
        raise AssertionError("launched in spite of bad input")


@pytest.mark.parametrize("selected", ["reference", "emulator"])
@EACH
def test_bad_arrays_are_refused(selected, rng, tested):
    """Lists, other dtypes, mixed dtypes, other ranks, an `out` that does not fit."""
    case = tested.typical
    given, settings = tested.draw(case, rng, tested.typical_dtype), tested.settings(case)
    function = getattr(pycnn, tested.op.name)

    def refused(error, message, **changed):
        out = changed.pop("out", None)
        extra = {} if out is None else {"out": out}
        with pytest.raises(error, match=message):
            tested.invoke(function, {**given, **changed}, {**settings, **extra})

    with pycnn.use_backend(selected), stand_in_executor("emulator", Nothing()):
        for operand in tested.op.operands:
            for name in [n for n in given if n.partition("[")[0] == operand.name]:
                array, said = given[name], name.replace("[", r"\[").replace("]", r"\]")
                refused(TypeError, f"{said} is of type list", **{name: [1.0]})
                refused(TypeError, f"{said} has dtype complex64", **{name: array.astype("c8")})
                swapped = array.astype(array.dtype.newbyteorder())
                if array.dtype.itemsize > 1 and swapped.dtype.kind != "V":
                    refused(TypeError, f"{said} has dtype [<>]", **{name: swapped})
                if operand.ranks:
                    rank = max(operand.ranks) + 1
                    deeper = array.reshape((1,) * (rank - array.ndim) + array.shape)
                    refused(ValueError, f"{said} has shape .*allowed", **{name: deeper})
        shared = [o.name for o in tested.op.operands if o.dtypes is None and o.name in given]
        if len(shared) > 1:
            other = "float64" if given[shared[1]].dtype != np.float64 else "float32"
            if other in tested.op.dtypes:
                refused(
                    TypeError, "has dtype .* but", **{shared[1]: given[shared[1]].astype(other)}
                )
        if tested.op.takes_out:
            spec = next(iter(tested.op.describe(given, **settings).outputs.values()))
            refused(ValueError, "out has shape", out=np.zeros((*spec.shape, 2), spec.dtype))
            wrong = "float64" if spec.dtype != np.float64 else "float32"
            refused(TypeError, f"out has dtype {wrong}", out=np.zeros(spec.shape, wrong))
            locked = np.zeros(spec.shape, spec.dtype)
            locked.flags.writeable = False
            refused(ValueError, "out is read-only", out=locked)


@EACH
def test_no_setting_is_ignored(rng, tested, monkeypatch):
    """Validation looks at every argument of the public function, also where it has no effect."""
    seen = set()

    class Watched(Arguments):
        def __getattribute__(self, name):
            seen.update(object.__getattribute__(self, "__dict__") if name == "__dict__" else [name])
            return object.__getattribute__(self, name)

    monkeypatch.setattr("pycnn.define.operation.Arguments", Watched)
    case = tested.typical
    given = tested.draw(case, rng, tested.typical_dtype)
    tested.op.describe(given, **tested.settings(case))
    assert {*tested.op.required, *tested.op.defaults} <= seen


@EACH
def test_a_definition_is_complete(tested):
    assert tested.op.name in pycnn.__all__
    assert len({case.name for case in tested.cases}) == len(tested.cases)
    if tested.op.bound == "bandwidth":
        assert any(case.standard for case in tested.cases)
    has_gradient = f"{tested.op.name}_backward" in TESTED
    assert isinstance(tested.op, Gradient) or has_gradient != bool(tested.op.no_gradient)
