"""The oracle, to which every backend is held, says what PyTorch computes.

PyTorch's answers are in files, so this needs no PyTorch; where there is one, it is asked again.
"""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import golden
import numpy as np
import pytest

from pycnn.dtypes import FLOAT8
from pycnn.testing.tested import NoPeer
from pycnn.testing.tolerance import compare, tolerance

read = cache(golden.read)
FAMILIES = dict.fromkeys(tested.op.family for tested, _ in golden.CASES.values())
EACH = pytest.mark.parametrize(("tested", "case"), golden.CASES.values(), ids=golden.CASES)

#: Every reason why PyTorch has no answer, and how many cases have it.
REASONS = {
    "NumPy takes no bfloat16 from PyTorch, and 16 bits tell no more": 4,
    "PyTorch refuses a product with nothing to sum": 1,
    "PyTorch clips with at least one bound": 12,
    "PyTorch draws other random numbers": 30,
    "PyTorch fails on no channels": 6,
    "PyTorch has both running statistics or none": 4,
    "PyTorch has no coordinate_mode and no nearest_mode": 10,
    "PyTorch has no such pooling with dilation": 24,
    "PyTorch has no such pooling with padding": 18,
    "PyTorch's pixel_unshuffle does nothing to an empty batch": 2,
    "PyTorch's instance_norm fails on an empty batch": 2,
    "PyTorch's pooling must know here what is padding": 12,
    "PyTorch's quantised convolution rounds otherwise, and takes quantised tensors": 10,
}


def entry_of(tested, case):
    """What is kept of a case, and the numbers that it points to."""
    entries, numbers = read(tested.op.family)
    key = f"{tested.op.name}: {case.name}"
    assert key in entries, f"{key!r} is new: {again(tested)}"
    return entries[key], numbers


def again(tested):
    return f"PyTorch must be asked, by: python tests/golden/make.py {tested.op.family}"


def by_oracle(tested, case, inputs):
    """Outputs by name, and how long the sums behind them are."""
    found = golden.by_oracle(tested, case, inputs)
    terms = tested.terms(tested.settings(case), inputs.given)
    return found, dict.fromkeys(found, terms) if isinstance(terms, int) else terms


@EACH
def test_the_oracle_says_what_pytorch_said(tested, case):
    entry, numbers = entry_of(tested, case)
    if "none" in entry:
        assert entry["none"] in REASONS
        return
    inputs = golden.draw(tested, case)
    assert not golden.is_stale(entry, tested, case, inputs), f"case changed: {again(tested)}"
    wanted, terms = by_oracle(tested, case, inputs)
    assert entry["outputs"]
    for name, kept in entry["outputs"].items():
        want, (start, count) = np.asarray(wanted[name]), kept["place"]
        assert [*want.shape] == kept["shape"]
        said, says = numbers[start : start + count], golden.kept(want)
        if want.dtype.kind in "iu":
            np.testing.assert_array_equal(said[:-2], says[:-2])
            np.testing.assert_allclose(said[-2:], says[-2:], rtol=1e-12)  # as processors add up
            continue
        scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30)
        dtype = "float32" if inputs.dtype in FLOAT8 else "float64"
        allowed = tolerance(dtype, terms[name], scale)
        np.testing.assert_allclose(says[:-2], said[:-2], rtol=0, atol=allowed)
        np.testing.assert_allclose(says[-2:], said[-2:], rtol=0, atol=allowed * max(want.size, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_pytorch_still_says_it(family):
    """Of a version of PyTorch that is here, and of all elements."""
    pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    for tested, case in golden.CASES.values():
        if tested.op.family == family:
            ask_again(tested, case)


def ask_again(tested, case):
    entry, _ = entry_of(tested, case)
    inputs = golden.draw(tested, case)
    if "none" in entry:
        with pytest.raises(NoPeer, match=re.escape(entry["none"])):
            golden.by_pytorch(tested, case, inputs)
        return
    found = golden.by_pytorch(tested, case, inputs)
    assert [*found] == [*entry["outputs"]], again(tested)
    wanted, terms = by_oracle(tested, case, inputs)
    for name, got in found.items():
        want = np.asarray(wanted[name])
        if got.dtype.kind == "f":
            dtype = "float32" if inputs.dtype in FLOAT8 else inputs.dtype
            error, allowed = compare(got, want, dtype, terms[name])
            assert error <= allowed, f"{name} of {tested.op.name}: {case.name}"
        else:
            np.testing.assert_array_equal(got, want, f"{name} of {tested.op.name}: {case.name}")


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_kept_for_cases_that_are_gone(family):
    entries, numbers = read(family)
    own = {key for key, (tested, _) in golden.CASES.items() if tested.op.family == family}
    assert set(entries) <= own, f"python tests/golden/make.py {family}"
    places = [o["place"] for e in entries.values() for o in e.get("outputs", {}).values()]
    assert sum(count for _, count in places) == len(numbers)


def test_reasons_are_counted():
    """No case is left out in silence: a new reason, or one more case, is a change of this table."""
    found = [e["none"] for f in FAMILIES for e in read(f)[0].values() if "none" in e]
    assert {reason: found.count(reason) for reason in found} == REASONS


def test_a_wrong_oracle_would_show():
    """Any one element that is off changes one of the sums; two that are exchanged do as well."""
    rng = np.random.default_rng(golden.SEED)
    right = rng.standard_normal((7, 11, 13))
    assert len(golden.positions(right.size)) < right.size
    for first, second in rng.integers(0, right.size, (20, 2)):
        wrong = right.copy()
        wrong.flat[first] += 1e-6
        assert np.abs(golden.kept(wrong) - golden.kept(right)).max() > 1e-9
        wrong = right.copy()
        wrong.flat[[first, second]] = right.flat[[second, first]]
        if first != second:
            assert np.abs(golden.kept(wrong) - golden.kept(right)).max() > 1e-9


def test_a_changed_case_is_told():
    tested, case = golden.CASES["sum: channels"]
    entry, inputs = entry_of(tested, case)[0], golden.draw(tested, case)
    assert not golden.is_stale(entry, tested, case, inputs)
    other = replace(case, settings={"axis": (0, 2)})
    assert golden.is_stale(entry, tested, other, inputs)
    moved = replace(inputs, given={"x": inputs.given["x"] + 1e-6})
    assert golden.is_stale(entry, tested, case, moved)
    single = replace(inputs, given={"x": inputs.given["x"].astype(np.float32)})
    assert golden.is_stale(entry, tested, case, single)


def test_the_version_is_named():
    named = {json.loads(path.read_text())["torch"] for path in Path(golden.FOLDER).glob("*.json")}
    assert all(version[:1].isdigit() for version in named)
