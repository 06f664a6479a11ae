"""Summaries: figures worked by hand and published ones, and what a command prints."""

import argparse
import json
from typing import Any

import numpy as np
import pytest

import pycnn
from pycnn import models, nn
from pycnn.define.trace import tracing
from pycnn.models import command_line
from pycnn.nn.errors import LayerError
from pycnn.nn.layer import Layer
from pycnn.see.costs import summary


def lenet5() -> nn.Sequential:
    return nn.Sequential(
        c1=nn.Conv2d(1, 6, 5), r1=nn.Tanh(), s2=nn.AvgPool2d(2), c3=nn.Conv2d(6, 16, 5),
        r3=nn.Tanh(), s4=nn.AvgPool2d(2), flat=nn.Flatten(), f5=nn.Linear(400, 120),
        f6=nn.Linear(120, 84), out=nn.Linear(84, 10),
    )  # fmt: skip


def vgg16() -> nn.Sequential:
    layers: list[Layer] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = nn.Sequential(nn.Linear(25088, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000))
    return nn.Sequential(features=nn.Sequential(*layers), flat=nn.Flatten(), head=head)


def test_lenet5_by_hand() -> None:
    found = summary(lenet5(), (1, 32, 32))
    shapes = {layer.path: layer.output_shape for layer in found.layers}
    assert shapes["c1"] == (6, 28, 28)
    assert shapes["s4"] == (16, 5, 5)
    # C1 156, C3 (all maps connected) 2416, F5 48120, F6 10164, output 850
    assert [found.at(p).parameters for p in ("c1", "c3", "f5", "f6", "out")] == [
        156, 2416, 48120, 10164, 850,
    ]  # fmt: skip
    assert found.parameters == 61706
    assert found.at("c1").macs == 28 * 28 * 6 * 25
    assert found.at("c3").macs == 10 * 10 * 16 * 6 * 25
    assert found.macs == 117600 + 240000 + 48000 + 10080 + 840
    assert found.at("c1").activation_bytes == 6 * 28 * 28 * 4
    assert found.at("flat").activation_bytes == 0
    # C1 sees 5; S2 6, jump 2; C3 6 + 4*2 = 14; S4 14 + 2 = 16, jump 4
    fields = [found.at(path).field[0] for path in ("c1", "s2", "c3", "s4")]
    assert [(f.size, f.jump, f.start) for f in fields] == [
        (5, 1, 0),
        (6, 2, 0),
        (14, 2, 0),
        (16, 4, 0),
    ]


def test_vgg16_at_full_width_takes_no_memory_and_has_the_published_figures() -> None:
    with tracing():
        model = vgg16()
    assert model.at("head.0").params["weight"].strides == (0, 0)
    found = summary(model, (3, 224, 224))
    assert found.parameters == 138_357_544  # Simonyan & Zisserman: 138 million
    assert found.macs == 15_470_264_320  # 15.5 billion
    last = found.at("features.30")  # Araujo et al., Distill 2019: 212, stride 32, padding 90
    assert (last.field[0].size, last.field[0].jump, last.field[0].start) == (212, 32, -90)


def test_modes_of_the_layers_stay_as_they_were() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(2))
    model.at("1").eval()
    summary(model, (2, 3, 3))
    assert [layer.training for _, layer in model.named_layers()] == [True, True, False]


def test_a_head_for_training_counts_among_the_parameters_only() -> None:
    model = nn.Sequential(nn.Tap(nn.Linear(4, 100)), nn.Linear(4, 2))
    found = summary(model, (4,))
    assert found.parameters == 500 + 10
    assert found.macs == 8
    assert "500 parameters for training only" in str(found).splitlines()[-1]


def test_a_branch_costs_what_its_layers_cost() -> None:
    block = nn.Sum(nn.Sequential(conv=nn.Conv2d(4, 4, 3, padding=1)), nn.Identity())
    found = summary(block, (4, 5, 5))
    assert [(layer.path, layer.kind) for layer in found.layers] == [
        ("0.conv", "Conv2d(4, 4, 3, padding=1)"), ("1", "Identity()"), ("", "Sum"),
    ]  # fmt: skip
    assert found.layers[1].activation_bytes == 0
    assert found.layers[2].activation_bytes == 4 * 25 * 4


def test_a_wrong_input_says_which_layer_and_why() -> None:
    wrong = r"layer features.0, Conv2d\(3, 64.*weight has shape"
    with tracing(), pytest.raises(LayerError, match=wrong):
        summary(vgg16(), (1, 224, 224))
    with pytest.raises(ValueError, match=r"input=\(3, 0, 4\): allowed are positive ints"):
        summary(nn.ReLU(), (3, 0, 4))
    with pytest.raises(ValueError, match="path='c9': allowed are c1, r1, s2"):
        summary(lenet5(), (1, 32, 32)).at("c9")


def test_text_has_a_line_a_layer_and_the_total() -> None:
    lines = str(summary(lenet5(), (1, 32, 32))).splitlines()
    assert lines[0] == "input 1x32x32"
    assert " ".join(lines[3].split()) == "c1 Conv2d(1, 6, 5) 6x28x28 156 117,600 18.4 KiB 5x5 1 0"
    assert "all" in lines[10].split()
    assert lines[-1].split()[:3] == ["total", "61,706", "416,520"]


def test_json_survives_a_round_trip() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 2, stride=2))
    found = json.loads(json.dumps(summary(model, (1, 6, 6)).as_json()))
    assert found["layers"][0]["output_shape"] == [2, 4, 4]
    assert found["layers"][0]["sharing"]["shared"] == 18
    assert found["layers"][1]["field"][0] == {"start": -0.5, "jump": 0.5, "size": 3.5}


def test_a_shape_on_the_command_line() -> None:
    assert command_line.shape("3,224,224") == (3, 224, 224)
    for wrong in ("", "3,x", "3,0,4", "3,,4"):
        with pytest.raises(argparse.ArgumentTypeError, match="positive ints such as"):
            command_line.shape(wrong)


class ByNumpy(nn.Layer):
    """Depends on every position, which nothing but its source tells."""

    def compute(self, x: Any) -> Any:
        return np.tanh(x) * x.mean((2, 3), keepdims=True)


class Scaled(nn.Layer):
    elementwise = True

    def compute(self, x: Any) -> Any:
        return pycnn.tanh(x * 2) * 3


class Half(nn.Layer):
    """An operation on what NumPy has computed."""

    def compute(self, x: Any) -> Any:
        return pycnn.relu(np.fft.fft2(x).real.astype(x.dtype))


class Gate(nn.Layer):
    """An operation, one of whose operands NumPy has computed."""

    def compute(self, x: Any) -> Any:
        return pycnn.mul(x, x.mean((2, 3), keepdims=True))


@pytest.mark.parametrize("kind", [ByNumpy, Half, Gate])
def test_what_numpy_computes_is_not_known(kind: type[nn.Layer]) -> None:
    net = nn.Sequential(conv=nn.Conv2d(1, 2, 3), own=kind(), next=nn.Conv2d(2, 1, 3))
    found = summary(net, (1, 8, 8))
    assert [layer.field_is_known for layer in found.layers] == [True, False, False]
    assert [layer.macs_are_known for layer in found.layers] == [True, False, True]
    assert found.at("own").activation_bytes == 2 * 6 * 6 * 4
    lines = str(found).splitlines()
    assert lines[4].split()[-4:] == ["?", "288", "B", "?"]
    assert lines[5].split()[-1] == "?"
    assert "?: by NumPy, not traced" in lines[-1]


def test_a_layer_that_says_so_is_taken_for_elementwise() -> None:
    net = nn.Sequential(conv=nn.Conv2d(1, 2, 3), own=Scaled(), next=nn.Conv2d(2, 1, 3))
    found = summary(net, (1, 8, 8))
    assert all(layer.field_is_known and layer.macs_are_known for layer in found.layers)
    assert found.at("own").field == found.at("conv").field
    assert found.at("next").field[0].size == 5
    assert found.at("own").activation_bytes == 2 * 6 * 6 * 4
    old = summary(models.create("lenet5_1998"), (1, 32, 32))
    assert all(layer.field_is_known for layer in old.layers)


def test_behind_an_upsampling_the_field_is_a_bound() -> None:
    """Nearest of 2 after 3x3: even elements see 5, odd ones 4 (worked by hand)."""
    net = nn.Sequential(
        nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3), nn.GlobalAvgPool()
    )
    found = summary(net, (1, 8, 8))
    assert [layer.field_is_bound for layer in found.layers[:3]] == [False, True, True]
    assert [line.split()[-3] for line in str(found).splitlines()[3:6]] == [
        "3x3",
        "<=3.5x3.5",
        "<=4.5x4.5",
    ]
    assert json.dumps(found.as_json())


def test_shared_parameters_are_counted_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.params = first.params
    found = summary(nn.Sequential(first, second), (4,))
    assert [layer.parameters for layer in found.layers] == [20, 0]
    assert found.parameters == 20
    assert "training only" not in str(found)
