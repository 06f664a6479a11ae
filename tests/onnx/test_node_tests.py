"""ONNX's own node tests, through the adapter, on the CPU path and on the checked emulator."""

import functools
import inspect
import re
import warnings

import numpy as np
import pytest
from adapter import EXCLUDED, NODES

#: Operators whose further outputs, all of them optional, pycnn does not give.
FEWER_OUTPUTS = {"LayerNormalization"}

ON_NUMPY = pytest.mark.parametrize("backend", ["reference", "checked"], indirect=True)


@functools.cache
def all_node_tests():
    """Of all operator types: ONNX makes them together, in some seconds, and only once."""
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their reference code divides by zero on purpose
        return list(collect_testcases())


def node_tests(op_type):
    """Single-node tests of an operator type; the expanded ones test how ONNX composes it."""
    return [
        test
        for test in all_node_tests()
        if len(test.model.graph.node) == 1 and test.model.graph.node[0].op_type == op_type
    ]


def reason_to_exclude(name):
    return next((why for what, why in EXCLUDED.items() if re.search(what, name)), None)


def attributes_of(node):
    from onnx.helper import get_attribute_value

    found = {a.name: get_attribute_value(a) for a in node.attribute}
    return {n: v.decode() if isinstance(v, bytes) else v for n, v in found.items()}


def run(backend, test):
    node = test.model.graph.node[0]
    function, attributes = NODES[node.op_type], attributes_of(node)
    if "outputs" in inspect.signature(function).parameters:
        attributes["outputs"] = len(node.output)
    given, expected = test.data_sets[0]
    present = iter(given)
    inputs = [next(present) if name else None for name in node.input]
    with np.errstate(all="ignore"):
        returned = function(*inputs, **attributes)
    assert len(returned) == len(expected) or node.op_type in FEWER_OUTPUTS
    for got, want in zip(returned, expected, strict=False):
        got = np.asarray(got)
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=test.rtol, atol=test.atol
        )


@ON_NUMPY
@pytest.mark.parametrize("op_type", NODES)
def test_node(backend, op_type):
    failed, passed = {}, 0
    for test in node_tests(op_type):
        if reason_to_exclude(test.name):
            continue
        try:
            run(backend, test)
            passed += 1
        except Exception as error:
            failed[test.name] = f"{type(error).__name__}: {str(error).strip()[:300]}"
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())
    assert passed


def test_every_exclusion_excludes_something():
    names = [test.name for op_type in NODES for test in node_tests(op_type)]
    assert len(names) > 300
    for what in EXCLUDED:
        assert any(re.search(what, name) for name in names), what
