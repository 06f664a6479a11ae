"""The peers compute what the oracle says, so that their times mean something."""

import numpy as np
import pytest

from pycnn.bench.cases import ConvCase, GemmCase, MapCase, PoolCase, RowsCase
from pycnn.bench.checking import judge
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import Unsupported
from pycnn.bench.peers import PEERS, missing, of_peer

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
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_peer_agrees_with_the_oracle(peer, name, direction, dtype):
    if missing(peer):
        pytest.skip(missing(peer))
    operation = OPERATIONS[name]
    arrays = operation.inputs(CASES[name], direction, dtype, np.random.default_rng(1))
    checks = operation.checks(CASES[name], direction, arrays)
    shapes = operation.output_shapes(CASES[name], direction)
    for contestant in of_peer(peer, operation):
        try:
            call = contestant.prepare(operation, CASES[name], direction, arrays)
        except Unsupported as lack:
            pytest.skip(f"{peer}: {lack}")
        with contestant.active():
            verdict = judge(contestant.numpy(call()), checks, dtype, shapes)
        assert verdict.right, (contestant.algorithm, verdict)


def test_asymmetric_padding_is_said_to_be_beyond_pytorch():
    if missing("torch"):
        pytest.skip(missing("torch"))
    case = parse(ConvCase, "n1c1h5w5k1r3s3p0x1x1x1")
    with pytest.raises(Unsupported, match="asymmetric"):
        OPERATIONS["conv2d"].torch(case, "forward", {"x": None, "weight": None})


def test_both_layouts_of_pytorch_take_part():
    layouts = [c.layout for c in of_peer("torch", OPERATIONS["conv2d"])]
    assert layouts == ["NCHW", "NHWC"]
    assert [c.layout for c in of_peer("torch", OPERATIONS["gemm"])] == ["NCHW"]
