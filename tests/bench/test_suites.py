"""The suites against figures that their papers and PyTorch's model zoo publish."""

import pytest

from pycnn.bench import networks
from pycnn.bench.cases import ConvCase
from pycnn.bench.commands import SUITE_NAMES
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES
from pycnn.models import MODELS


def _macs(name: str, op: str = "conv2d") -> int:
    flops = OPERATIONS[op].flops
    return sum(x.count * flops(x.case, "forward") // 2 for x in SUITES[name].layers(op, 1))


#: Multiply-adds of one image. LeNet-5 by hand: 28*28*6*25 + 10*10*16*150 + 120*400.
#: MobileNet: the paper gives the depthwise layers 3.06 % of 569 million.
CONVOLUTIONS = {
    "lenet5": 117_600 + 240_000 + 48_000,
    "alexnet": 655_566_528,
    "vgg16": 15_346_630_656,
    "resnet50": 4_087_136_256,
    "mobilenet": 17_385_984,
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_multiply_adds_of_the_convolutions(name):
    assert _macs(name) == CONVOLUTIONS[name]


@pytest.mark.parametrize(
    ("name", "total"),
    [("alexnet", 714_188_480), ("vgg16", 15_470_264_320), ("resnet50", 4_089_184_256)],
)
def test_multiply_adds_of_the_whole_network(name, total):
    assert _macs(name) + _macs(name, "gemm") == total


@pytest.mark.parametrize(("name", "count"), [("vgg16", 13), ("resnet50", 53), ("alexnet", 5)])
def test_number_of_convolutions(name, count):
    assert sum(layer.count for layer in SUITES[name].layers("conv2d")) == count


def test_a_suite_has_the_name_of_its_network():
    """soumith is a benchmark, and no network."""
    assert SUITES.keys() - MODELS.keys() == {"soumith"}


def test_a_network_without_a_suite_is_traced():
    """ResNet-18: 1.814 G multiply-adds in convolutions, 512 x 1000 in its last layer."""
    convolutions = networks.layers("resnet18", "conv2d", 4)
    assert sum(layer.count for layer in convolutions) == 20
    assert {layer.case.n for layer in convolutions} == {4}
    assert sum(x.count * x.case.macs for x in convolutions) == 4 * 1_813_561_344
    assert str(convolutions[0].case) == "n4c3h224w224k64r7s7p3u2"
    (dense,) = networks.layers("resnet18", "gemm", 4)
    assert str(dense.case) == "m4n1000k512"
    assert networks.layers("resnet18", "softmax") == []


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
@pytest.mark.parametrize("op", ["conv2d", "gemm"])
def test_a_traced_network_has_the_layers_of_its_suite(name, op):
    table = {x.case: x.count for x in SUITES[name].layers(op, 1)}
    assert {x.case: x.count for x in networks.layers(name, op)} == table


#: The others have layers of their own, the suite standard.
MEASURED_ON_NETWORKS = [n for n in OPERATIONS if any(s.layers(n) for s in SUITES.values())]


def test_soumith_l1_is_the_published_layer():
    layer = SUITES["soumith"].layers("conv2d")[0]
    assert str(layer.case) == "n128c3h128w128k96r11s11"
    assert layer.case.y_shape == (128, 96, 118, 118)


def test_layers_follow_one_another():
    """Pooling halves what the convolutions leave, so each network is consistent in itself."""
    maps = {(case.c, case.h) for case in (x.case for x in SUITES["vgg16"].layers("relu"))}
    for layer in SUITES["vgg16"].layers("max_pool2d"):
        assert (layer.case.c, layer.case.h) in maps
        assert layer.case.p == layer.case.h // 2


def test_relu_runs_over_every_convolution_output_once():
    layers = SUITES["resnet50"].layers("relu")
    assert len({layer.case for layer in layers}) == len(layers)
    assert sum(layer.count for layer in layers) == 53


@pytest.mark.parametrize("op", MEASURED_ON_NETWORKS)
@pytest.mark.parametrize("name", SUITES)
def test_every_layer_reruns_from_its_word(name, op):
    for layer in SUITES[name].layers(op, batch=3):
        assert parse(OPERATIONS[op].case, str(layer.case)) == layer.case
        assert layer.case.batch == 3


def test_every_suite_has_convolutions_and_every_operation_a_suite():
    assert all(suite.layers("conv2d") for suite in SUITES.values())
    for name, op in OPERATIONS.items():
        of_networks = any(suite.layers(name) for suite in SUITES.values())
        assert of_networks or op.standard_layers() or name == "split"  # which computes nothing


def test_depthwise_layers_keep_one_channel_a_group():
    for layer in SUITES["mobilenet"].layers("conv2d"):
        assert isinstance(layer.case, ConvCase)
        assert layer.case.w_shape[1] == 1


def test_the_command_line_names_the_same_suites():
    assert tuple(SUITES) == SUITE_NAMES


class TestOnnx:
    """The layers of a model in a file are those of the network that it was written from."""

    @pytest.fixture
    def path(self, tmp_path):
        pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
        from pycnn import models, onnx

        path = tmp_path / "model.onnx"
        onnx.export(models.create("cifar_resnet20").eval(), path)
        return path

    @pytest.mark.parametrize("op", ["conv2d", "gemm"])
    @pytest.mark.parametrize("batch", [None, 3])
    def test_layers(self, path, op, batch):
        assert networks.of_onnx(path, op, batch) == networks.layers(
            "cifar_resnet20", op, batch or 1
        )

    def test_no_layer(self, path):
        assert networks.of_onnx(path, "softmax") == []

    def test_command(self, path, capsys):
        from pycnn.cli import main

        assert (
            main(["bench", str(path), "--quick", "--against", "none", "--backend", "reference"])
            == 0
        )
        assert "conv2" in capsys.readouterr().out
        assert main(["bench", str(path), "--op", "softmax", "--quick"]) == 2
        assert "model.onnx has no layer of softmax" in capsys.readouterr().err
        assert main(["bench", str(path.with_name("none.onnx"))]) == 2
