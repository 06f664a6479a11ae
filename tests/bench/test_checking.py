"""The verdict: nothing wrong passes, also where only part of a large result is compared."""

import numpy as np
import pytest

from pycnn.bench.cases import ConvCase, MapCase
from pycnn.bench.checking import check
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import Check
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import conv as oracle

WORDS = ("n5c6h9w11k9r3s2p1x0x1x1u2x1d1x2g3", "n4c3h8w7k10r3s3p1", "n6c8h7w6k8r3s3p1g8")


@pytest.fixture
def only_parts(monkeypatch):
    """Make every case too large for the oracle, and its images come one at a time."""
    monkeypatch.setattr("pycnn.bench.operations.conv.ORACLE_FLOPS", 0)
    monkeypatch.setattr("pycnn.bench.operations.conv.CHUNK_BYTES", 1)
    monkeypatch.setattr("pycnn.bench.operations.base.ORACLE_ELEMENTS", 0)


def _problem(word, direction, dtype="float32"):
    case = parse(ConvCase, word)
    operation = OPERATIONS["conv2d"]
    arrays = operation.inputs(case, direction, dtype, np.random.default_rng(3))
    geometry = (case.stride, case.padding, case.dilation, case.groups)
    if direction == "forward":
        outputs = {"y": oracle.convolve(arrays["x"], arrays["weight"], None, *geometry)}
    else:
        dx, dweight, _ = oracle.convolve_backward(
            arrays["dy"], arrays["x"], arrays["weight"], *geometry
        )
        outputs = {"dx": dx, "dweight": dweight}
    outputs = {name: value.astype(numpy_dtype(dtype)) for name, value in outputs.items()}
    return outputs, operation.checks(case, direction, arrays)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("word", WORDS)
def test_a_right_result_passes_in_parts(only_parts, word, direction):
    outputs, checks = _problem(word, direction)
    verdict = check(outputs, checks, "float32", {})
    assert verdict.right
    assert "combined" in verdict.compared
    assert "of" in verdict.compared


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("word", WORDS)
def test_any_single_wrong_element_is_seen_in_parts(only_parts, word, direction):
    outputs, checks = _problem(word, direction)
    rng = np.random.default_rng(5)
    for name, value in outputs.items():
        for place in rng.choice(value.size, 12, replace=False):
            wrong = {**outputs, name: value.copy()}
            wrong[name].flat[place] += 0.01
            assert not check(wrong, checks, "float32", {}).right, (name, place)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_16_bit_results_pass_in_parts_and_a_wrong_element_is_seen(only_parts, direction, dtype):
    """Combined elements are rounded before they are combined: that is no error."""
    outputs, checks = _problem("n5c32h9w11k64r3s3p1", direction, dtype)
    assert check(outputs, checks, dtype, {}).right
    rng = np.random.default_rng(5)
    for name, value in outputs.items():
        for place in rng.choice(value.size, 12, replace=False):
            wrong = {**outputs, name: value.copy()}
            wrong[name].flat[place] += np.asarray(np.abs(value).max(), value.dtype)
            assert not check(wrong, checks, dtype, {}).right, (name, place)


def test_small_cases_are_compared_whole():
    outputs, checks = _problem(WORDS[0], "backward")
    assert check(outputs, checks, "float32", {}).compared == "all"


@pytest.mark.parametrize("limit", ["ORACLE_FLOPS", "ORACLE_ELEMENTS"])
def test_much_arithmetic_and_many_elements_are_compared_in_parts(monkeypatch, limit):
    outputs, checks = _problem(WORDS[1], "forward")
    assert check(outputs, checks, "float32", {}).compared == "all"
    monkeypatch.setattr(f"pycnn.bench.operations.conv.{limit}", 4 * 10 * 8 * 7 - 1)
    outputs, checks = _problem(WORDS[1], "forward")
    assert "images 0, 2, 3 of 4" in check(outputs, checks, "float32", {}).compared


def test_a_large_batch_is_compared_at_its_ends_and_middle(only_parts):
    relu, case = OPERATIONS["relu"], MapCase(7, 2, 3, 5)
    arrays = relu.inputs(case, "forward", "float32", np.random.default_rng(0))
    checks = relu.checks(case, "forward", arrays)
    right = np.where(arrays["x"] > 0, arrays["x"], 0)
    assert check({"y": right}, checks, "float32", {}).compared == "y: entries 0, 3, 6 of 7"
    for image in (0, 3, 6):
        wrong = right.copy()
        wrong[image, 1, 2, 4] += 1
        assert not check({"y": wrong}, checks, "float32", {}).right


def test_the_worst_check_counts():
    checks = [Check("y", np.ones(4), 1), Check("z", np.ones(4), 1)]
    outputs = {"y": np.ones(4), "z": np.full(4, 1.5)}
    verdict = check(outputs, checks, "float64", {})
    assert (verdict.error, verdict.right) == (0.5, False)


def test_the_error_is_that_of_single_elements_unless_combined_ones_fail():
    wanted = np.ones(4)
    one = Check("y", wanted, 1)
    added = Check("y", wanted.sum(keepdims=True), 1, view=lambda y: y.sum(keepdims=True),
                  combined=True)  # fmt: skip
    eps = 2.0**-52
    verdict = check({"y": wanted + eps}, [one, added], "float64", {})
    assert (verdict.error, verdict.right) == (eps, True)
    hidden = Check("y", wanted[:1], 1, "the first", lambda y: y[:1])
    verdict = check({"y": np.array([1, 1, 1, 2.0])}, [hidden, added], "float64", {})
    assert (verdict.error, verdict.right) == (1.0, False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_shape_or_dtype_is_wrong_whatever_the_values(dtype):
    checks = [Check("y", np.ones(2), 1, "some", lambda y: y[:2])]
    y = np.ones(5, dtype)
    assert check({"y": y}, checks, dtype, {"y": (5,)}).right
    assert not check({"y": y}, checks, dtype, {"y": (5, 1)}).right
    other = {"float32": "float64", "float64": "float32"}[dtype]
    assert not check({"y": y}, checks, other, {"y": (5,)}).right


def test_nothing_to_compare_is_no_pass():
    with pytest.raises(ValueError, match="checks is empty"):
        check({"y": np.ones(3)}, [], "float32", {})
