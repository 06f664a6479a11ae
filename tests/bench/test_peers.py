"""The peers compute what the oracle says, so that their times mean something."""

import numpy as np
import pytest

from pycnn.bench import peers
from pycnn.bench.cases import ConvCase, GemmCase, MapCase, PoolCase, RowsCase
from pycnn.bench.checking import check
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import Unsupported
from pycnn.bench.peers import PEERS, Torch, missing, of_peer
from pycnn.dtypes import FLOATING, numpy_dtype
from pycnn.runtime.extras import MissingExtra

CASES = {
    "conv2d": parse(ConvCase, "n2c6h9w11k4r3s5p1x2u2x1d1x2g2"),
    "max_pool2d": parse(PoolCase, "n2c3h9w11r3s2p1x0u2e1"),
    "avg_pool2d": parse(PoolCase, "n2c3h9w11r3s2p1x0u2"),
    "relu": MapCase(2, 3, 5, 7),
    "softmax": RowsCase(3, 13),
    "cross_entropy": RowsCase(5, 13),
    "gemm": GemmCase(3, 5, 7),
}
#: The last ones stand for all that the bench knows from their definitions alone.
CASES |= {name: OPERATIONS[name].standard_layers()[0][1] for name in ("group_norm", "mish")}
PROBLEMS = [(name, way) for name in CASES for way in OPERATIONS[name].directions]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("name", "direction"), PROBLEMS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_a_peer_agrees_with_the_oracle(peer, name, direction, dtype):
    if missing(peer):
        pytest.skip(missing(peer))
    _need(dtype)
    operation = OPERATIONS[name]
    arrays = operation.inputs(CASES[name], direction, dtype, np.random.default_rng(1))
    checks = operation.checks(CASES[name], direction, arrays)
    shapes = operation.output_shapes(CASES[name], direction)
    for runner in of_peer(peer, operation, dtype):
        try:
            call = runner.prepare(operation, CASES[name], direction, arrays)
        except Unsupported as lack:
            pytest.skip(f"{peer}: {lack}")
        with runner.active():
            outputs = runner.numpy(call())
        verdict = check(outputs, checks, dtype, shapes, runner.coarse(dtype))
        assert verdict.right, (runner.algorithm, verdict)


def _need(dtype):
    try:
        numpy_dtype(dtype)
    except MissingExtra as lack:
        pytest.skip(str(lack))


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_arrays_go_to_pytorch_and_come_back_bit_by_bit(dtype, layout):
    torch = pytest.importorskip("torch", reason="torch is not installed; pip install torch")
    _need(dtype)
    array = np.random.default_rng(0).standard_normal((2, 3, 5, 7)).astype(numpy_dtype(dtype))
    peer = Torch("cpu", layout)
    tensor = peer._tensor(array)
    assert tensor.dtype == getattr(torch, dtype)
    assert tensor.double().tolist() == array.astype(np.float64).tolist()
    (back,) = peer.numpy({"x": tensor}).values()
    assert (back.dtype, back.tobytes()) == (array.dtype, array.tobytes())


def test_tf32_stands_beside_float32_proper_where_it_makes_a_difference():
    def of(name, dtype, peer="cudnn"):
        return [(c.backend, c.precision) for c in of_peer(peer, OPERATIONS[name], dtype)]

    strict, fast = ("cudnn", ""), ("cudnn-tf32", "tf32")
    assert of("conv2d", "float32") == [strict, strict, fast, fast]  # in both layouts
    assert of("gemm", "float32") == [strict, fast]
    assert of("relu", "float32") == [strict, strict]
    for dtype in ("float16", "bfloat16", "float64"):
        assert of("gemm", dtype) == [strict]
    assert of("gemm", "float32", "torch") == [("torch", "")]


@pytest.mark.parametrize("precision", ["", "tf32"])
def test_tf32_is_on_only_where_it_is_named(precision):
    torch = pytest.importorskip("torch", reason="torch is not installed; pip install torch")

    def switches():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = switches()
    with Torch("cuda", "NCHW", precision).active():
        assert switches() == (bool(precision),) * 2
        assert torch.backends.cudnn.benchmark
    assert switches() == before
    with pytest.raises(ZeroDivisionError), Torch("cuda", "NCHW", precision).active():
        raise ZeroDivisionError
    assert switches() == before


def test_a_coarse_peer_is_allowed_a_few_of_its_own_roundings_and_no_more():
    gemm, case = OPERATIONS["gemm"], GemmCase(31, 37, 257)
    arrays = gemm.inputs(case, "forward", "float32", np.random.default_rng(1))
    checks, shapes = gemm.checks(case, "forward", arrays), gemm.output_shapes(case, "forward")
    cut = {n: (a.view(np.uint32) & 0xFFFFE000).view(np.float32) for n, a in arrays.items()}
    y = cut["a"] @ cut["b"].T
    tf32 = Torch("cuda", "NCHW", "tf32").coarse("float32")
    assert check({"y": y}, checks, "float32", shapes, tf32).right
    assert not check({"y": y}, checks, "float32", shapes).right
    y[3, 5] += 1.0
    assert not check({"y": y}, checks, "float32", shapes, tf32).right


def test_only_what_rounds_more_is_coarse():
    assert [Torch("cuda", "NCHW").coarse(dtype) for dtype in FLOATING] == [2**-10, 2**-7, 0, 0]
    assert peers.OnnxRuntime().coarse("float16") == 0


def test_asymmetric_padding_is_said_to_be_beyond_pytorch():
    if missing("torch"):
        pytest.skip(missing("torch"))
    case = parse(ConvCase, "n1c1h5w5k1r3s3p0x1x1x1")
    with pytest.raises(Unsupported, match="asymmetric"):
        OPERATIONS["conv2d"].torch(case, "forward", {"x": None, "weight": None})


def test_both_layouts_of_pytorch_take_part():
    layouts = [c.layout for c in of_peer("torch", OPERATIONS["conv2d"], "float32")]
    assert layouts == ["NCHW", "NHWC"]
    assert [c.layout for c in of_peer("torch", OPERATIONS["gemm"], "float32")] == ["NCHW"]
