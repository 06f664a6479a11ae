"""What convolution refuses, on every backend alike, and that a repeated call is as strict."""

import numpy as np
import pytest

import pycnn
from pycnn.ops import _conv_prepare as prepare
from pycnn.runtime.backends import stand_in_executor

X, WEIGHT = (2, 4, 6, 7), (6, 2, 3, 3)
DY = (2, 6, 4, 5)


def array(shape, dtype="float32"):
    return np.ones(shape, dtype)


def call(backend, **changed):
    """A convolution in two groups that is right but for what is changed."""
    given = {"x": array(X), "weight": array(WEIGHT), "bias": None, "groups": 2, **changed}
    as_is = given.pop("as_is", ())
    for name in ("x", "weight", "bias", "out"):
        if isinstance(given.get(name), np.ndarray) and name not in as_is:
            given[name] = backend.array(given[name])
    return pycnn.conv2d(**given)


#: (what is changed, exception, what the message must name)
REFUSED = [
    ({"x": array(X[1:3])}, ValueError, ["x has shape (4, 6)", "(N, C, H, W) or (C, H, W)"]),
    ({"weight": array((6, 2, 3))}, ValueError, ["weight has shape (6, 2, 3)", "(K, C/G, R, S)"]),
    ({"x": array(X, "int32")}, TypeError, ["x has dtype int32", "float32, float64"]),
    ({"weight": array(WEIGHT, "complex64")}, TypeError, ["weight has dtype complex64"]),
    ({"x": array(X, "float16")}, TypeError, ["x has dtype float16"]),
    ({"x": array(X, ">f4")}, TypeError, ["x has dtype >f4"]),
    (
        {"weight": array(WEIGHT, "float64")},
        TypeError,
        ["weight has dtype float64", "x has float32"],
    ),
    ({"bias": array(6, "float64")}, TypeError, ["bias has dtype float64"]),
    ({"bias": array((6, 1))}, ValueError, ["bias has shape (6, 1)", "(6,)"]),
    ({"bias": array(4)}, ValueError, ["bias has shape (4,)", "(6,)"]),
    ({"bias": [1.0] * 6}, TypeError, ["bias is of type list"]),
    ({"x": [[1.0]]}, TypeError, ["x is of type list"]),
    ({"groups": 3}, ValueError, ["groups=3", "4 channels", "6 filters"]),
    ({"groups": 4}, ValueError, ["groups=4"]),
    ({"groups": 1}, ValueError, ["weight has shape (6, 2, 3, 3)", "4 = 4 channels"]),
    ({"groups": 0}, ValueError, ["groups=0", "int >= 1"]),
    ({"weight": array((6, 4, 3, 3))}, ValueError, ["weight has shape (6, 4, 3, 3)", "2 = 4"]),
    ({"weight": array((6, 2, 7, 3))}, ValueError, ["(6, 2, 7, 3)", "7x3", "6x7"]),
    ({"dilation": (1, 4)}, ValueError, ["dilation=(1, 4)", "3x9", "6x7"]),
    ({"stride": 0}, ValueError, ["stride=0", "int >= 1"]),
    ({"stride": (1, -2)}, ValueError, ["stride=-2"]),
    ({"stride": 1.0}, TypeError, ["stride=1.0", "float"]),
    ({"stride": float("nan")}, TypeError, ["stride=nan"]),
    ({"stride": True}, TypeError, ["stride=True", "bool"]),
    ({"stride": (1, 2, 3)}, ValueError, ["stride=(1, 2, 3)"]),
    ({"dilation": 0}, ValueError, ["dilation=0"]),
    ({"dilation": "1"}, TypeError, ["dilation='1'"]),
    ({"padding": -1}, ValueError, ["padding=-1", "int >= 0"]),
    ({"padding": ((1, 2), 3)}, ValueError, ["padding=((1, 2), 3)"]),
    ({"padding": float("nan")}, TypeError, ["padding=nan"]),
    ({"padding": "full"}, ValueError, ["padding='full'", "same, valid"]),
    ({"padding": "same", "stride": 2}, ValueError, ["stride=(2, 2)", "padding='same'"]),
    ({"padding": 2**31}, ValueError, ["padding=2147483648"]),
    ({"x": array((2, 4, 0, 7))}, ValueError, ["x has shape (2, 4, 0, 7)", "batch may be 0"]),
    ({"x": array((2, 0, 6, 7))}, ValueError, ["x has shape (2, 0, 6, 7)"]),
    ({"weight": array((0, 2, 3, 3))}, ValueError, ["weight has shape (0, 2, 3, 3)"]),
    ({"algo": "fft"}, ValueError, ["algo='fft'", "auto, direct"]),
    ({"algo": None}, ValueError, ["algo=None"]),
    ({"out": array((2, 6, 4, 4))}, ValueError, ["out has shape (2, 6, 4, 4)", "(2, 6, 4, 5)"]),
    ({"out": array(DY, "float64")}, TypeError, ["out has dtype float64"]),
    ({"out": array((6, 2, 4, 5)).swapaxes(0, 1)}, ValueError, ["out has strides"]),
    ({"out": [0.0]}, TypeError, ["out is of type list"]),
]


@pytest.mark.parametrize(("changed", "error", "words"), REFUSED, ids=str)
def test_refuses(backend, changed, error, words):
    with pytest.raises(error) as caught:
        call(backend, **changed)
    for word in words:
        assert word in str(caught.value)


def test_refuses_arrays_of_two_libraries(backend):
    if backend.name == "cuda":
        with pytest.raises(TypeError, match="weight is a NumPy array"):
            call(backend, as_is=("weight",))
    else:
        pytest.importorskip("cupy", reason="arrays of a second library need CuPy")


def test_refuses_out_in_the_memory_of_an_input(backend):
    memory = backend.array(array((2, 6, 4, 5)))
    x, weight = memory[:, :4], backend.array(array((6, 4, 1, 1)))
    with pytest.raises(ValueError, match="out shares memory with x"):
        pycnn.conv2d(x, weight, out=memory)


def test_refuses_elements_across_alignment(backend):
    if backend.name == "cuda":
        pytest.skip("CuPy has no structured arrays")
    raw = np.zeros((2, 4, 6, 7), np.dtype([("value", "f4"), ("flag", "u1")]))
    with pytest.raises(ValueError, match="x has strides"):
        call(backend, x=raw["value"])


BACKWARD = [
    ({"dy": array((2, 6, 4, 4))}, ValueError, ["dy has shape (2, 6, 4, 4)", "(2, 6, 4, 5)"]),
    ({"dy": array(DY, "float64")}, TypeError, ["x has dtype float32 but dy has float64"]),
    ({"dy": array(DY[1:])}, ValueError, ["dy has shape (6, 4, 5)"]),
    ({"needs": (True, True)}, ValueError, ["needs=(True, True)"]),
    ({"needs": (1, 0, 0)}, TypeError, ["needs=1"]),
    ({"algo": "fft"}, ValueError, ["algo='fft'"]),
    ({"algo": "direct_tiled"}, ValueError, ["algo='direct_tiled'", "auto, direct, im2col"]),
    ({"stride": 0}, ValueError, ["stride=0"]),
    ({"weight": array((6, 4, 3, 3))}, ValueError, ["weight has shape (6, 4, 3, 3)"]),
]


@pytest.mark.parametrize(("changed", "error", "words"), BACKWARD, ids=str)
def test_backward_refuses(backend, changed, error, words):
    given = {"dy": array(DY), "x": array(X), "weight": array(WEIGHT), "groups": 2, **changed}
    for name in ("dy", "x", "weight"):
        given[name] = backend.array(given[name])
    with pytest.raises(error) as caught:
        pycnn.conv2d_backward(**given)
    for word in words:
        assert word in str(caught.value)


def test_kernel_algorithms_are_not_on_the_reference_backend():
    with pytest.raises(ValueError, match="algo='im2col'; allowed on the backend reference: auto"):
        pycnn.conv2d(array(X), array(WEIGHT), groups=2, algo="im2col")


@pytest.mark.parametrize("algo", ["im2col", "gemm_1x1", "direct_tiled"])
def test_an_algorithm_that_does_not_fit_says_why(backend, monkeypatch, algo):
    if backend.name == "reference":
        pytest.skip("the reference backend has no kernel algorithms")
    monkeypatch.setenv("PYCNN_WORKSPACE_LIMIT", "100")
    with pytest.raises(ValueError, match=rf"algo='{algo}' does not fit; {algo}: .*; allowed: "):
        call(backend, x=array((1, 4, 3, 4000)), dilation=(1, 1999), algo=algo)


@pytest.mark.parametrize("refused", [1.0, True, np.True_, (1.0, 1), [1, True]], ids=repr)
def test_a_repeated_call_is_as_strict_as_the_first(backend, refused):
    """1, 1.0 and True are equal and have equal hashes."""
    call(backend, stride=1)
    call(backend, stride=(1, 1))
    with pytest.raises(TypeError, match="stride="):
        call(backend, stride=refused)


@pytest.mark.parametrize("equal", [[1, 1], (1,), np.int64(1), (np.int32(1), 1)], ids=repr)
def test_other_ways_to_write_an_int(backend, rng, equal):
    x = rng.standard_normal(X).astype("float32")
    plain, other = (backend.numpy(call(backend, x=x, stride=s)) for s in (1, equal))
    assert plain.tobytes() == other.tobytes()


class Recorder:
    """An executor that keeps the plans it is given and runs none."""

    name = "recorder"

    def __init__(self):
        self.plans = []

    def run(self, plan, arrays, out=None):
        self.plans.append(plan)
        return dict.fromkeys(plan.outputs)


@pytest.fixture
def plans(monkeypatch):
    """Plans of the calls made in a test, in the place of the emulator."""
    monkeypatch.setattr(prepare, "_prepared", {})
    recorder = Recorder()
    try:
        with pycnn.use_backend("emulator"), stand_in_executor("emulator", recorder):
            yield recorder.plans
    except pycnn.BackendUnavailable as error:
        pytest.skip(str(error))


def test_a_repeated_call_reuses_its_plan(plans):
    x, weight = array(X), array(WEIGHT)
    for stride in (1, 1, [1, 1], 2):
        pycnn.conv2d(x, weight, stride=stride, groups=2)
    pycnn.conv2d(x[:, :, ::-1], weight, groups=2)
    first, second, as_list, strided, flipped = plans
    assert first is second
    assert len({id(p) for p in (first, strided, flipped)}) == 3
    assert as_list.launches == first.launches


def test_old_plans_are_forgotten(plans, monkeypatch):
    monkeypatch.setattr(prepare, "KEPT", 3)
    for rows in range(3, 9):
        pycnn.conv2d(array((1, 4, rows, 7)), array(WEIGHT), groups=2)
    assert len(prepare._prepared) == 3


def test_an_empty_batch_launches_nothing(plans):
    x, dy, weight = array((0, *X[1:])), array((0, *DY[1:])), array(WEIGHT)
    pycnn.conv2d(x, weight, groups=2)
    _, dweight, dbias = pycnn.conv2d_backward(dy, x, weight, groups=2)
    assert [p.launches for p in plans] == [()]
    assert dweight.shape == WEIGHT
    assert dbias.tolist() == [0.0] * 6


def test_the_workspace_limit_is_read_at_every_call(plans, monkeypatch):
    x, weight = array((1, 64, 9, 9)), array((64, 64, 3, 3))
    pycnn.conv2d(x, weight)
    monkeypatch.setenv("PYCNN_WORKSPACE_LIMIT", "0")
    pycnn.conv2d(x, weight)
    assert [p.algo for p in plans] == ["im2col", "direct_tiled"]
