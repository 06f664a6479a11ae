"""Sessions that plan memory for inputs of a shape: the same results, whatever the values."""

import sys
import threading

import numpy as np
import pytest
from test_session import model, node

import pycnn
from pycnn.onnx import load

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
from onnx import TensorProto, helper

RNG = np.random.default_rng(11)
CONSTANTS = {
    "w": RNG.standard_normal((4, 4, 3, 3), dtype=np.float32), "b": np.ones(4, np.float32),
    "flat": np.array([0, -1]), "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]),
    "axis": np.array([2]), "shape": np.array([0, -1]),
}  # fmt: skip
CONV = node("Conv", "x w b", "c", pads=[1, 1, 1, 1])
POOL = node("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2])


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def session(nodes, inputs=None):
    shapes = {"x": ["N", 4, "H", 6], **(inputs or {})}
    one = model(nodes, shapes, {"y": None}, CONSTANTS)
    for value in one.graph.input[1:]:
        if value.name != "low":
            value.type.tensor_type.elem_type = TensorProto.INT64
    if inputs is not None:
        one.graph.output[0].CopyFrom(
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
        )
    return load(one)


def without_plans(one, feeds):
    """As the session computes it when it sees a shape for the first time."""
    values = one._program.run([feeds[v.name] for v in one.inputs], {})
    return [np.array(value) for value in values]


def plan_of(one):
    (planned,) = one._plans._plans.values()
    return planned


def check(one, draw, count):
    """Every call is right, with other values and results that stay; `count` nodes are planned."""
    kept = []
    for _ in range(5):
        feeds = draw()
        want = without_plans(one, feeds)
        kept.append((one.run(None, feeds), want))
    for found, want in kept:
        for mine, theirs in zip(found, want, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert plan_of(one).count == count


WHOLE = {
    "one after another": [
        CONV, POOL, node("Relu", "p", "r"), node("Reshape", "r shape", "f"),
        node("Softmax", "f", "y", axis=1),
    ],
    "shapes": [
        CONV, node("Shape", "c", "s"), node("Gather", "s zero", "n"), node("Neg", "one", "m"),
        node("Concat", "n m", "to", axis=0), node("Reshape", "c to", "y"),
    ],
    "in place": [
        CONV, node("Conv", "x w", "d", pads=[1, 1, 1, 1]), node("Concat", "c d", "e", axis=1),
        node("Relu", "e", "y"),
    ],
    "a result that is a view": [CONV, node("Flatten", "c", "y")],
    "the input": [node("Relu", "x", "r"), node("Identity", "x", "y")],
}  # fmt: skip


@pytest.mark.parametrize("nodes", WHOLE.values(), ids=WHOLE)
def test_all_nodes(nodes):
    one = session(nodes)
    check(one, lambda: {"x": array(1, 4, 6, 6)}, len(one._program.steps))


def _number(*values):
    return np.array(values)


#: Nodes, and inputs beside x, on whose values it depends what is computed; how far a plan goes.
BY_VALUE = {
    "an array of NumPy's": ([CONV, node("Abs", "c", "a"), node("Relu", "a", "y")], {}, 1),
    "what is needed behind the plan": (
        [CONV, POOL, node("Relu", "p", "r"), node("Sigmoid", "r", "s"), node("Tanh", "s", "t"),
         node("Abs", "t", "a"), node("Add", "a r", "y")], {}, 5,
    ),
    "a bound": (
        [CONV, node("Clip", "c low", "y")],
        {"low": ([], lambda: np.array(RNG.random(), np.float32))}, 1,
    ),
    "a slice": (
        [CONV, node("Slice", "c from to axis", "s"), node("Relu", "s", "y")],
        {"from": ([1], lambda: _number(RNG.integers(3))), "to": ([1], lambda: _number(5))}, 1,
    ),
    "a count": (
        [CONV, node("TopK", "c k", "y i")], {"k": ([1], lambda: _number(RNG.integers(1, 6)))}, 1,
    ),
    "a number of rows": (
        [CONV, node("ReduceSum", "c over", "y")],
        {"over": ([1], lambda: _number(RNG.integers(4)))}, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_VALUE.values(), ids=BY_VALUE)
def test_what_depends_on_values_is_no_part_of_a_plan(case):
    nodes, others, count = case
    one = session(nodes, inputs={name: shape for name, (shape, _) in others.items()})
    kinds = {v.name: v.dtype for v in one.inputs}

    def draw():
        drawn = {name: make().astype(kinds[name]) for name, (_, make) in others.items()}
        return {"x": array(2, 4, 6, 6), **drawn}

    check(one, draw, count)


def test_a_branch_is_taken_by_its_condition():
    value = helper.make_tensor_value_info
    branches = {
        name: helper.make_graph(
            [node(kind, "c", "o")], name, [], [value("o", TensorProto.FLOAT, None)]
        )
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Sigmoid"))
    }
    nodes = [
        CONV, node("ReduceMax", "x", "m", keepdims=0), node("Greater", "m limit", "big"),
        node("If", "big", "y", **branches),
    ]  # fmt: skip
    one = load(model(nodes, {"x": [1, 4, 6, 6]}, {"y": None}, CONSTANTS | {"limit": np.float32(2)}))
    sizes = iter((1, 5, 1, 5, 1, 5))
    check(one, lambda: {"x": np.clip(array(1, 4, 6, 6), -1, 1) * np.float32(next(sizes))}, 2)


def test_another_shape_has_another_plan():
    one = session(WHOLE["one after another"])
    for extent in (6, 8, 6, 8, 6, 8):
        x = array(2, 4, extent, 6)
        np.testing.assert_array_equal(one(x), without_plans(one, {"x": x})[0])
    assert len(one._plans._plans) == 2
    lines = one.explain().splitlines()
    assert [line for line in lines if line.startswith("planned for float32 (2, 4, 8, 6): 5 of 5")]


def test_a_strided_input_is_read_by_its_strides():
    one = session(WHOLE["one after another"])
    for _ in range(4):
        x = array(2, 6, 6, 4).transpose(0, 3, 1, 2)
        want = without_plans(one, {"x": x})[0]
        np.testing.assert_allclose(one(x), want, rtol=1e-5, atol=1e-6)


def test_memory_is_shared():
    nodes = [node("Relu", "x" if i == 0 else f"r{i}", f"r{i + 1}") for i in range(20)]
    one = session([*nodes, node("Sigmoid", "r20", "y")])
    x = array(2, 4, 64, 6)
    for _ in range(3):
        one(x)
    assert plan_of(one)._static.nbytes <= 2 * x.nbytes + 512


def test_a_profile_has_every_node_once():
    one = session(WHOLE["one after another"])
    x = array(2, 4, 6, 6)
    before = one.profile(x)
    for _ in range(3):
        one(x)
    after = one.profile(x)
    for was, now in zip(before, after, strict=True):
        assert (was.what, was.nbytes, was.shapes, was.by) == (
            now.what,
            now.nbytes,
            now.shapes,
            now.by,
        )


def test_threads_do_not_meet():
    one = session(WHOLE["one after another"])
    given = [array(2, 4, 16, 6) for _ in range(4)]
    want = [without_plans(one, {"x": x})[0] for x in given]
    for x in given:
        one(x)
    wrong = []

    def calls(x, y):
        wrong.extend(i for i in range(30) if not np.array_equal(one(x), y))

    threads = [threading.Thread(target=calls, args=pair) for pair in zip(given, want, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_kernels_are_not_planned():
    """The emulator keeps arrays apart, so that it sees what is read or written beside them."""
    if not pycnn.backends()[1].available:
        pytest.skip(f"no emulator here: {pycnn.backends()[1].detail}")
    one = session([CONV, node("Relu", "c", "y")])
    with pycnn.use_backend("emulator"):
        for _ in range(3):
            one(array(1, 4, 3, 6))
    assert not one._plans._plans


def test_a_plan_of_nothing_says_so():
    one = session([node("Abs", "x", "a"), node("Relu", "a", "y")])
    for _ in range(3):
        one(array(1, 4, 3, 6))
    assert one.explain().endswith("0 of 2 nodes in 0 bytes")


def test_what_draws_is_drawn_anew():
    nodes = [CONV, node("Dropout", "c ratio on", "y")]
    constants = CONSTANTS | {"ratio": np.float32(0.5), "on": np.array(True)}
    one = load(model(nodes, {"x": [1, 4, 6, 6]}, {"y": None}, constants))
    x = array(1, 4, 6, 6)
    results = [one(x) for _ in range(4)]
    assert not any(np.array_equal(results[i], results[i + 1]) for i in range(3))


def test_an_output_of_extents_is_the_callers_own():
    nodes = [node("Relu", "x", "y"), node("Shape", "x", "s")]
    made = model(nodes, {"x": ["N", "C"]}, {"y": ["N", "C"]})
    made.graph.output.append(helper.make_tensor_value_info("s", TensorProto.INT64, [2]))
    one = load(made)
    for _ in range(5):
        _, shape = one(array(2, 3))
        np.testing.assert_array_equal(shape, [2, 3])
        shape[...] = -9


def test_more_shapes_than_are_kept_on_several_threads():
    one = session([node("Relu", "x", "y")])
    errors = []

    def call(first):
        try:
            for n in range(60):
                one(array(1 + (first + n) % 20, 4, 3, 6))
        except (KeyError, RuntimeError, StopIteration) as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=call, args=(n,)) for n in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not errors
