"""Stages of networks, told in words, against the tables of their papers."""

import itertools

from pycnn import nn
from pycnn.nn.layer import Layer
from pycnn.see.boxes import HIGHEST, arrange
from pycnn.see.stages import Outline, outline
from pycnn.see.trace import trace


def told(model: Layer, shape: tuple[int, ...]) -> list[list[str]]:
    return [[run.text for run in stage.runs] for stage in of(model, shape).stages]


def of(model: Layer, shape: tuple[int, ...]) -> Outline:
    return outline(model, trace(model, shape))


def conv(inputs: int, outputs: int, size: int = 3, **settings: int) -> nn.Sequential:
    return nn.Sequential(
        conv=nn.Conv2d(inputs, outputs, size, padding=size // 2, **settings),
        norm=nn.BatchNorm2d(outputs), relu=nn.ReLU(),
    )  # fmt: skip


def residual(channels: int) -> nn.Sequential:
    branch = nn.Sequential(conv(channels, 2, 1), conv(2, 2), conv(2, channels, 1))
    return nn.Sequential(sum=nn.Sum(branch, nn.Identity()), relu=nn.ReLU())


def test_convolutions_of_one_resolution_are_a_stage() -> None:
    model = nn.Sequential(conv(3, 4), conv(4, 4), nn.MaxPool2d(2), conv(4, 8), conv(8, 8),
                          nn.Flatten(), nn.Linear(128, 10), nn.ReLU(),
                          nn.Linear(10, 2))  # fmt: skip
    assert told(model, (3, 8, 8)) == [
        ["2 x conv 3x3"], ["max pool 2x2 / 2", "2 x conv 3x3"], ["dense"], ["dense"],
    ]  # fmt: skip


def test_unpadded_convolutions_do_not_end_a_stage() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, (3, 5), (2, 1)))
    assert told(model, (1, 9, 9)) == [["2 x conv 3x3"], ["conv 3x5 / 2x1"]]


def test_residual_blocks_dense_layers_and_branches_are_counted() -> None:
    blocks = nn.Sequential(conv(3, 4, 7, stride=2), nn.MaxPool2d(3, 2, 1), *map(residual, [4] * 3))
    assert told(blocks, (3, 16, 16)) == [
        ["conv 7x7 / 2"], ["max pool 3x3 / 2", "3 x residual 1x1, 3x3, 1x1"],
    ]  # fmt: skip
    dense = [nn.Concat(nn.Identity(), conv(4 + 2 * i, 2)) for i in range(6)]
    assert told(nn.Sequential(*dense), (4, 5, 5)) == [["6 x dense layer 3x3"]]
    inception = nn.Concat(conv(4, 2, 1), conv(4, 2, 3), conv(4, 2, 5), nn.MaxPool2d(3, 1, 1))
    assert told(nn.Sequential(inception, nn.GlobalAvgPool()), (4, 5, 5)) == [
        ["4 branches"], ["mean pool"],
    ]  # fmt: skip


def test_patterns_repeat_too() -> None:
    pairs = [conv(4, 4, 3, groups=4) if i % 2 == 0 else conv(4, 4, 1) for i in range(10)]
    assert told(nn.Sequential(*pairs), (4, 6, 6)) == [["5 x (depthwise 3x3, conv 1x1)"]]


def test_a_unit_ends_with_its_activation() -> None:
    (stage,) = of(nn.Sequential(conv(3, 4), nn.Dropout()), (3, 8, 8)).stages
    assert (stage.units[0].step.path, stage.result.path) == ("0.conv", "1")


def unet() -> nn.Sequential:
    under = nn.Sequential(nn.MaxPool2d(2), conv(4, 8), nn.ConvTranspose2d(8, 4, 2, stride=2))
    return nn.Sequential(a=conv(1, 4), join=nn.Concat(nn.Identity(), under), b=conv(8, 2))


def test_a_way_down_and_up_again_is_opened_and_its_shortcut_kept() -> None:
    found = of(unet(), (1, 8, 8))
    assert told(unet(), (1, 8, 8)) == [
        ["conv 3x3"], ["max pool 2x2 / 2", "conv 3x3"], ["up-conv 2x2 / 2", "conv 3x3"],
    ]  # fmt: skip
    assert found.shortcuts == ((0, 3),)  # around pooling, convolution and up-convolution
    (arc,) = arrange(found).shortcuts
    boxes = arrange(found).boxes  # the input, and a box a unit
    assert (arc.start, arc.end) == (boxes[1], boxes[5])


def test_heads_for_training_are_not_shown() -> None:
    model = nn.Sequential(conv(1, 2), nn.Tap(nn.Sequential(nn.Flatten(), nn.Linear(32, 2))))
    assert told(model, (1, 4, 4)) == [["conv 3x3"]]


def test_boxes_are_sized_by_extents_and_do_not_overlap() -> None:
    model = nn.Sequential(conv(3, 16), nn.MaxPool2d(2), conv(16, 64), nn.GlobalAvgPool())
    diagram = arrange(of(model, (3, 32, 16)))
    given, first, pooled, second, last = diagram.boxes
    assert given.height == first.height == HIGHEST
    assert given.height > given.depth
    assert given.width < first.width == pooled.width < second.width
    assert first.height > second.height == pooled.height > last.height
    groups = diagram.groups
    assert all(a.right < b.left for a, b in itertools.pairwise(groups))
    for group in groups:
        assert group.left <= min(box.x for box in group.boxes)
        assert max(box.x + box.width + box.slant for box in group.boxes) <= group.right + 1e-9


def test_many_repetitions_are_few_boxes_and_a_number() -> None:
    group = arrange(of(nn.Sequential(*map(residual, [4] * 18)), (4, 8, 8))).groups[1]
    assert len(group.boxes) == 4
    assert group.lines == ("18 x residual 1x1, 3x3, 1x1",)


def test_one_and_three_axes_rows_and_channels_last() -> None:
    line = arrange(of(nn.Sequential(nn.Conv1d(1, 4, 3)), (1, 20))).boxes[1]
    assert line.height < line.depth
    assert told(nn.Conv3d(1, 1, 3), (1, 5, 5, 5)) == [["conv 3x3x3"]]
    row = arrange(of(nn.Linear(4, 3), (4,)))
    assert [group.title for group in row.groups] == ["4", "3"]
    last = arrange(of(nn.Conv2d(3, 8, 3, layout="NHWC"), (10, 10, 3))).groups
    assert [group.title for group in last] == ["10 x 10 x 3", "8 x 8 x 8"]
