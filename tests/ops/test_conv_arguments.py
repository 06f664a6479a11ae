"""What convolution refuses, on every backend alike, and that a repeated call is as strict."""

import numpy as np
import pytest

import pycnn
from pycnn.runtime.backends import stand_in_executor

X, WEIGHT = (2, 4, 6, 7), (6, 2, 3, 3)
DY = (2, 6, 4, 5)
NAN = float("nan")


def array(shape, dtype="float32"):
    return np.ones(shape, dtype)


def call(backend, **changed):
    """A convolution in two groups that is right but for what is changed."""
    given = {"x": array(X), "weight": array(WEIGHT), "bias": None, "groups": 2, **changed}
    as_is = given.pop("as_is", ())
    for name in ("x", "weight", "bias", "scale", "shift", "residual", "out"):
        if isinstance(given.get(name), np.ndarray) and name not in as_is:
            given[name] = backend.array(given[name])
    return pycnn.conv2d(**given)


#: (what is changed, exception, what the message must name)
REFUSED = [
    ({"x": array(X[1:3])}, ValueError, ["x has shape (4, 6)", "(N, C, H, W) or (C, H, W)"]),
    ({"weight": array((6, 2, 3))}, ValueError, ["weight has shape (6, 2, 3)", "(K, C/G, R, S)"]),
    ({"bias": array(6, "float64")}, TypeError, ["bias has dtype float64"]),
    ({"bias": array((6, 1))}, ValueError, ["bias has shape (6, 1)", "(K,)"]),
    ({"bias": array(4)}, ValueError, ["bias has shape (4,)", "(6,)"]),
    ({"bias": [1.0] * 6}, TypeError, ["bias is of type list"]),
    ({"scale": array(4)}, ValueError, ["scale has shape (4,)", "(6,)"]),
    ({"shift": array(())}, ValueError, ["shift has shape ()", "(K,)"]),
    ({"residual": array(X)}, ValueError, ["residual has shape (2, 4, 6, 7)", "(2, 6, 4, 5)"]),
    ({"residual": array(DY, "float16")}, TypeError, ["residual has dtype float16"]),
    ({"activation": "tanh"}, ValueError, ["activation='tanh'", "None, relu, relu6"]),
    ({"negative_slope": "0.1"}, TypeError, ["negative_slope='0.1'"]),
    ({"negative_slope": NAN}, ValueError, ["negative_slope=nan"]),
    (
        {"negative_slope": 0.3, "activation": "relu"},
        ValueError,
        ["negative_slope=0.3; allowed with activation='relu': 0.01"],
    ),
    ({"layout": "NCWH"}, ValueError, ["layout='NCWH'", "NCHW, NHWC"]),
    ({"layout": "NHWC"}, ValueError, ["7 channels of x"]),
    ({"padding_mode": "constant"}, ValueError, ["padding_mode='constant'", "zeros, reflect"]),
    (
        {"padding_mode": "reflect", "padding": (5, 7)},
        ValueError,
        ["padding=(5, 7)", "padding_mode='reflect'", "at most 5x6"],
    ),
    (
        {"padding_mode": "circular", "padding": ((0, 7), (0, 0))},
        ValueError,
        ["padding_mode='circular'", "at most 6x7"],
    ),
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
    ({"padding": "full"}, ValueError, ["padding='full'", "same, same_upper, same_lower, valid"]),
    ({"padding": "same", "stride": 2}, ValueError, ["stride=(2, 2)", "padding='same'"]),
    ({"padding": 2**31}, ValueError, ["padding=2147483648"]),
    ({"x": array((2, 4, 0, 7))}, ValueError, ["x has shape (2, 4, 0, 7)", "batch may be 0"]),
    ({"x": array((2, 0, 6, 7))}, ValueError, ["x has shape (2, 0, 6, 7)"]),
    ({"weight": array((0, 2, 3, 3))}, ValueError, ["weight has shape (0, 2, 3, 3)"]),
    ({"algo": "best"}, ValueError, ["algo='best'", "auto, direct"]),
    ({"algo": None}, ValueError, ["algo=None"]),
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


def test_refuses_out_that_is_no_view_but_has_the_same_addresses(backend):
    """As arrays are that two libraries share."""
    whole = backend.array(array(30))
    if backend.name == "cuda":
        x, y = (type(whole)(24, whole.dtype, memptr=whole.data + n) for n in (0, 16))
    else:
        x, y = (np.ndarray(24, whole.dtype, whole.data, n) for n in (0, 16))
    with pytest.raises(ValueError, match="out shares memory with x"):
        pycnn.sigmoid(x, out=y)


def test_out_beside_an_input_is_taken(backend):
    whole = backend.array(array(30))
    assert pycnn.relu(whole[9::-1], out=whole[10:20]).shape == (10,)
    assert pycnn.relu(whole[5:5], out=whole[5:5]).shape == (0,)
    with pytest.raises(ValueError, match="out shares memory with x"):
        pycnn.relu(whole[10::-1], out=whole[10:21])


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
    ({"algo": "best"}, ValueError, ["algo='best'"]),
    ({"algo": "direct_tiled"}, ValueError, ["algo='direct_tiled'", "auto, direct, ", "im2col"]),
    ({"padding_mode": "edge"}, ValueError, ["padding_mode='edge'"]),
    ({"layout": 1}, ValueError, ["layout=1"]),
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
def plans():
    """Plans of the calls made in a test, in the place of the emulator."""
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


def test_an_empty_batch_launches_only_what_writes_zeros(plans):
    x, dy, weight = array((0, *X[1:])), array((0, *DY[1:])), array(WEIGHT)
    pycnn.conv2d(x, weight, groups=2)
    pycnn.conv2d_backward(dy, x, weight, groups=2)
    kernels = [[launch.kernel.entry for launch in p.launches] for p in plans]
    assert kernels == [[], [], ["direct_backward_weight"], ["reduce_columns"]]


def test_the_workspace_limit_is_read_at_every_call(plans, monkeypatch):
    x, weight = array((1, 64, 9, 9)), array((64, 64, 3, 3))
    pycnn.conv2d(x, weight)
    monkeypatch.setenv("PYCNN_WORKSPACE_LIMIT", "0")
    pycnn.conv2d(x, weight)
    assert plans[0].workspace_bytes > 0
    assert plans[1].workspace_bytes == 0


TRANSPOSED = [
    ({"weight": array((5, 2, 3, 3))}, ValueError, ["weight has shape (5, 2, 3, 3)", "4, the ch"]),
    ({"groups": 3}, ValueError, ["groups=3", "divisor of the 4 channels of x"]),
    ({"output_padding": 1}, ValueError, ["output_padding=1", "stride=(1, 1) or dilation=(1, 1)"]),
    ({"output_padding": -1}, ValueError, ["output_padding=-1", "int >= 0"]),
    ({"padding": "same"}, TypeError, ["padding='same'", "an int, (vertical, horizontal)"]),
    ({"padding": 5}, ValueError, ["x has shape (2, 4, 6, 7)", "-2x-1", "extents from 1"]),
    ({"padding_mode": "reflect"}, ValueError, ["padding_mode='reflect'", "transposed", "zeros"]),
    ({"stride": 0}, ValueError, ["stride=0"]),
    ({"stride": 2**30}, ValueError, ["the result is"]),
    ({"bias": array(2)}, ValueError, ["bias has shape (2,)", "(4,)"]),
    ({"algo": "best"}, ValueError, ["algo='best'", "auto, direct"]),
]


@pytest.mark.parametrize(("changed", "error", "words"), TRANSPOSED, ids=str)
def test_transposed_refuses(backend, changed, error, words):
    given = {"x": array(X), "weight": array((4, 2, 3, 3)), "groups": 2, **changed}
    for name in ("x", "weight", "bias"):
        if name in given:
            given[name] = backend.array(given[name])
    with pytest.raises(error) as caught:
        pycnn.conv_transpose2d(**given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("function", "x", "weight", "changed", "words"),
    [
        ("conv1d", (2, 3, 9), (4, 3, 3), {"stride": (1, 2)}, ["stride=(1, 2)", "(horizontal)"]),
        ("conv1d", (2, 3, 9), (4, 3, 3), {"padding": (1, 2)}, ["padding=(1, 2)"]),
        ("conv1d", (2, 3, 9), (4, 3, 11), {}, ["a filter covers 11", "padded input, 9"]),
        ("conv3d", (1, 2, 3, 4, 5), (4, 2, 2, 2, 2), {"dilation": (1, 2)}, ["depth, vertical"]),
        ("conv3d", (1, 2, 3, 4, 5), (4, 2, 2, 2, 6), {}, ["covers 2x2x6", "3x4x5"]),
        ("conv_transpose1d", (2, 3, 9), (3, 4, 3), {"padding": ((1, 2, 3),)}, ["(left, right)"]),
    ],
    ids=str,
)
def test_other_axes_refuse(function, x, weight, changed, words):
    with pytest.raises(ValueError, match="allowed: ") as caught:
        getattr(pycnn, function)(array(x), array(weight), **changed)
    for word in words:
        assert word in str(caught.value)
