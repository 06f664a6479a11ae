"""The rule by which a layer becomes small enough for the emulator."""

import pytest

from pycnn.bench.cases import ConvCase, GemmCase, MapCase, PoolCase
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.scaling import scale_down
from pycnn.bench.suites import SUITES


def _scaled(word: str, budget: int, cls: type = ConvCase, op: str = "conv2d") -> str:
    return str(scale_down(parse(cls, word), lambda c: OPERATIONS[op].flops(c, "forward"), budget))


def test_a_small_layer_stays_as_it_is():
    assert _scaled("n2c3h8w9k4r3s3p1", 10**9) == "n2c3h8w9k4r3s3p1"


def test_the_batch_goes_first():
    # an image costs 2 * 4 * 72 * 27 = 15552
    assert _scaled("n8c3h8w9k4r3s3p1", 40_000) == "n2c3h8w9k4r3s3p1"


def test_then_height_and_width():
    assert _scaled("n4c3h17w23k4r3s3p1", 30_000) == "n1c3h9w12k4r3s3p1"


def test_then_channels_while_filter_stride_and_padding_stay():
    assert _scaled("n1c64h7w7k96r3s5p1x2u2", 50_000) == "n1c8h7w7k12r3s5p1x2u2"


def test_groups_shrink_before_the_channels_of_a_group():
    assert _scaled("n1c64h4w4k128r3s3p1g16", 20_000) == "n1c8h4w4k16r3s3p1g2"


def test_a_depthwise_layer_stays_depthwise():
    case = parse(ConvCase, _scaled("n1c32h112w112k32r3s3p1g32", 3000))
    assert case.c == case.k == case.groups >= 2


def test_others_shrink_too():
    assert _scaled("n4c64h112w112r3s3p1u2", 40_000, PoolCase, "max_pool2d") == "n1c64h14w14r3s3p1u2"
    assert _scaled("n2c8h56w56", 1000, MapCase, "relu") == "n1c8h7w7"
    assert _scaled("m128n1000k4096", 10**6, GemmCase, "gemm") == "m8n63k256"


def test_it_ends_where_nothing_can_shrink():
    assert _scaled("n1c1h9w9k1r9s9", 1) == "n1c1h9w9k1r9s9"


@pytest.mark.parametrize("op", [n for n in OPERATIONS if any(s.layers(n) for s in SUITES.values())])
@pytest.mark.parametrize("name", SUITES)
def test_no_layer_of_a_suite_needs_much_more_than_the_budget(name, op):
    for layer in SUITES[name].layers(op):
        flops = OPERATIONS[op].flops(
            scale_down(layer.case, lambda c: OPERATIONS[op].flops(c, "forward"), 400_000), "forward"
        )
        assert flops <= 400_000
