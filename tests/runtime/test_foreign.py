"""Arrays of other libraries: taken without a copy, and results given back in their library."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import pycnn
from pycnn.define import trace
from pycnn.define.out import address
from pycnn.dtypes import FLOAT8, FLOATS
from pycnn.runtime import foreign
from pycnn.testing import TESTED


class Stranger:
    """An array of a library that knows DLPack, and nothing else of NumPy or CuPy."""

    exports = 0

    def __init__(self, array):
        self.array = array
        self.shape, self.dtype = array.shape, str(array.dtype)

    def __array_namespace__(self):
        return SimpleNamespace(from_dlpack=Stranger)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, copy=None, **how):
        assert copy is not True
        Stranger.exports += 1
        return self.array.__dlpack__(**how, **({} if copy is None else {"copy": copy}))


class CudaInterface:
    """An array that has ``__cuda_array_interface__`` alone."""

    def __init__(self, array):
        self.__cuda_array_interface__ = array.__cuda_array_interface__
        self.array = array


class Seen:
    """Copies counted: operands and results of an operation that lie elsewhere than the caller's."""

    def __init__(self, operation):
        self.operation, self.arrays, self.results, self.calls = operation, {}, {}, 0

    def __call__(self, operation, cached, arrays, out, results):
        if operation is self.operation:
            self.arrays, self.results = dict(arrays), dict(results)
            self.calls += 1

    def copies(self, given, returned):
        pairs = [(self.arrays[n], a) for n, a in given.items() if a is not None]
        pairs += zip(self.results.values(), returned, strict=True)
        return sum(address(a) != address(b) for a, b in pairs if b.size)


@pytest.fixture
def seen():
    """Told of every operation."""
    watching = []

    def watch(operation):
        record = Seen(operation)
        watching.append(trace.RECORDER.set(record))
        return record

    yield watch
    for token in reversed(watching):
        trace.RECORDER.reset(token)


@pytest.mark.parametrize("backend", ["reference", "cuda"], indirect=True)  # where arrays lie
@pytest.mark.parametrize("name", [n for n, t in TESTED.items() if t.typical_dtype not in FLOAT8])
def test_every_operation_takes_them_without_a_copy(backend, rng, seen, name):
    """But of those on 8-bit floats, which NumPy does not export."""
    tested = TESTED[name]
    case, dtype = tested.typical, tested.typical_dtype
    settings = tested.settings(case)
    function = getattr(pycnn, tested.op.name)
    given = {n: backend.array(a) for n, a in tested.draw(case, rng, dtype).items()}
    wanted = tested.invoke(function, {n: a.copy() for n, a in given.items()}, settings)
    record = seen(tested.op)
    before = Stranger.exports
    returned = tested.invoke(function, {n: Stranger(a) for n, a in given.items()}, settings)
    assert Stranger.exports > before
    assert [type(r) for r in returned] == [Stranger] * len(wanted)
    for result, want in zip(returned, wanted, strict=True):
        np.testing.assert_array_equal(backend.numpy(result.array), backend.numpy(want))
    if record.calls:  # split computes nothing: its results are views
        updated = tested.op.updates.values()
        record.results = {n: a for n, a in record.results.items() if n not in updated}
        assert record.copies(given, [r.array for r in returned]) == 0
    else:
        assert tested.op.name == "split"
        assert address(returned[0].array) == address(given["x"])


def test_out_is_written_and_returned(backend):
    x, y = backend.array(np.float32([-1, 2])), backend.array(np.zeros(2, np.float32))
    out = Stranger(y)
    assert pycnn.relu(Stranger(x), out=out) is out
    assert backend.numpy(y).tolist() == [0, 2]


def test_running_statistics_are_updated_in_place(backend):
    x = backend.array(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2))
    mean, var = (backend.array(np.zeros(2, np.float32)) for _ in range(2))
    pycnn.instance_norm(Stranger(x), Stranger(mean), Stranger(var), momentum=1.0)
    np.testing.assert_allclose(backend.numpy(mean), [1.5, 5.5])


def test_libraries_are_not_mixed(backend):
    x = backend.array(np.zeros((1, 1, 2, 2), np.float32))
    with pytest.raises(TypeError, match=r"x is of \w+, weight is of (numpy|cupy)"):
        pycnn.conv2d(Stranger(x), x)
    with pytest.raises(TypeError, match=r"x is of (numpy|cupy), out is of \w+"):
        pycnn.relu(x, out=Stranger(x.copy()))


def test_errors_are_those_of_the_operation(backend):
    x = backend.array(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"x has shape .2, 2. .rank 2.; allowed: .N, C, H, W."):
        pycnn.max_pool2d(Stranger(x), 2)
    with pytest.raises(TypeError, match="x has dtype int64; allowed for relu"):
        pycnn.relu(Stranger(backend.array(np.zeros(2, np.int64))))


def test_a_device_that_is_none_of_ours_is_named():
    class Elsewhere(Stranger):
        def __dlpack_device__(self):
            return (8, 0)  # Metal

    with pytest.raises(TypeError, match="x is on a device of type 8"):
        pycnn.relu(Elsewhere(np.zeros(2)))


def test_an_exporter_that_would_copy_is_refused():
    class Copies(Stranger):
        def __dlpack__(self, *, copy=None, **how):
            if copy is False:
                raise BufferError("this memory is compressed")
            return super().__dlpack__(**how)

    if not foreign._NO_COPY:
        pytest.skip("NumPy 2.0 cannot tell an exporter that it must not copy")
    with pytest.raises(TypeError, match=r"x is an array of \w+ that .* compressed"):
        pycnn.relu(Copies(np.zeros(2)))


def test_a_library_without_from_dlpack_gets_numpys():
    class Alone(Stranger):
        __array_namespace__ = None

    y = pycnn.relu(Alone(np.array([-1.0, 2.0])))
    assert isinstance(y, np.ndarray)
    assert y.tolist() == [0, 2]


def test_read_only_memory_is_read_and_not_written():
    x = np.array([-1.0, 2.0])
    x.flags.writeable = False
    assert pycnn.relu(Stranger(x)).array.tolist() == [0, 2]
    with pytest.raises(ValueError, match="out is read-only"):
        pycnn.relu(Stranger(x.copy()), out=Stranger(x))


def test_the_cuda_array_interface_is_enough(backend):
    if backend.name != "cuda":
        pytest.skip("an interface of arrays on a GPU")
    x = backend.array(np.float32([-1, 2]))
    y = pycnn.relu(CudaInterface(x))
    assert type(y) is type(x)
    assert backend.numpy(y).tolist() == [0, 2]
    pycnn.relu(CudaInterface(x), out=CudaInterface(x))
    assert backend.numpy(x).tolist() == [0, 2]


def test_nothing_is_copied_on_the_stand_in(backend):
    """By the driver's count, which knows of copies that no pointer shows."""
    if backend.name != "cuda" or "pycnn_standin" not in sys.modules:
        pytest.skip("the stand-in driver counts copies (make test-cupy)")
    from pycnn_standin.counting import counted

    x = Stranger(backend.array(np.ones((4, 3, 8, 8), np.float32)))
    pycnn.relu(x)  # compiled and loaded
    with counted() as ours:
        pycnn.relu(x.array)
    with counted() as theirs:
        pycnn.relu(x)
    assert theirs == ours


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")


class TestTorch:
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_tensors_of_all_dtypes(self, torch, dtype):
        x = torch.tensor([-1.0, 2.0, 0.5]).to(getattr(torch, dtype))
        y = pycnn.leaky_relu(x, 0.5)
        assert y.dtype is x.dtype
        assert y.tolist() == [-0.5, 2.0, 0.5]

    def test_memory_is_shared(self, torch, seen):
        record = seen(TESTED["relu"].op)
        x, out = torch.randn(3, 4), torch.empty(3, 4)
        y = pycnn.relu(x)
        assert (record.arrays["x"].ctypes.data, record.results["y"].ctypes.data) == (
            x.data_ptr(),
            y.data_ptr(),
        )
        assert pycnn.relu(x, out=out) is out
        assert torch.equal(out, x.clamp(min=0))
        assert pycnn.split(x, 1)[2].data_ptr() == x[2].data_ptr()

    def test_views_are_computed_on_as_they_are(self, torch):
        x = torch.randn(2, 5, 4, 3).permute(0, 3, 1, 2)[:, :, ::2]
        w = torch.randn(4, 3, 2, 2)
        torch.testing.assert_close(pycnn.conv2d(x, w), torch.nn.functional.conv2d(x, w))

    def test_a_gradient_is_not_lost_in_silence(self, torch):
        x = torch.ones(2, requires_grad=True)
        with pytest.raises(TypeError, match=r"x requires a gradient, .* pycnn.torch"):
            pycnn.relu(x)
        with torch.no_grad():
            assert pycnn.relu(x).tolist() == [1, 1]

    def test_what_memory_does_not_hold_is_refused(self, torch):
        negative = torch.tensor([1 + 2j]).conj().imag
        for x, words in (
            (negative, "negative bit"),
            (torch.zeros(2).to_sparse(), "layout"),
            (torch.zeros(2, device="meta"), "meta"),
        ):
            with pytest.raises(TypeError, match=words):
                pycnn.relu(x)


def test_the_array_api_in_its_strictest_form():
    xp = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    y = pycnn.softmax(xp.asarray([[0.0, 0.0]]))
    assert type(y) is type(xp.asarray(0))
    assert np.from_dlpack(y).tolist() == [[0.5, 0.5]]
