"""Parameters, stage shapes and multiply-adds of the full networks, against published figures.

Networks are made while shapes are traced, so that even the largest costs no memory.
"""

import pytest

from pycnn import nn
from pycnn.define.trace import tracing
from pycnn.models import MODELS, create, multiply_adds
from pycnn.models.blocks import scaled

# Where the numbers come from.
TORCHVISION = "torchvision's table of models, num_params"
IMGCLSMOB = "osmr/imgclsmob, table of ImageNet models"
AKAMASTER = "akamaster/pytorch_resnet_cifar10; 0.27, 0.85, 1.7, 19.4 M in He et al., table 6"
KERAS = "Keras applications, trainable parameters"
BY_HAND = "worked out in the comment"

COUNTS = [
    # LeCun 1998, II.B: 156 + 12 + 1,516 + 32 + 48,120 + 10,164 = 60,000; output 84 x 10 + 10.
    ("lenet5_1998", {}, 60_000 + 850, "LeCun et al. 1998"),
    # 6x25+6, 16x6x25+16, 400x120+120, 120x84+84, 84x10+10.
    ("lenet5", {}, 156 + 2_416 + 48_120 + 10_164 + 850, BY_HAND),
    ("lenet5_32", {}, 156 + 2_416 + 48_120 + 10_164 + 850, BY_HAND),
    # The last two layers 120x100+100 and 100x10+10.
    ("lenet5", {"hidden": (120, 100)}, 156 + 2_416 + 48_120 + 12_100 + 1_010, BY_HAND),
    ("alexnet", {}, 61_100_840, TORCHVISION),
    # Grouped: 96x363+96, 256x48x25+256, 384x2304+384, 384x1728+384, 256x1728+256; dense
    # 9216x4096+4096, 4096x4096+4096, 4096x1000+1000.
    (
        "alexnet_two_towers", {},
        34_944 + 307_456 + 885_120 + 663_936 + 442_624 + 37_752_832 + 16_781_312 + 4_097_000,
        BY_HAND,
    ),
    ("zfnet", {}, 62_357_608, IMGCLSMOB),
    # 256x512x9+512, 512x1024x9+1024, 1024x512x9+512 for 885_120 + 1_327_488 + 884_992; and twice
    # as many inputs, 512x36, to the first dense layer.
    (
        "zfnet", {"filters": (512, 1024, 512)},
        62_357_608 - 3_097_600 + 1_180_160 + 4_719_616 + 4_719_104 + 256 * 36 * 4096,
        BY_HAND,
    ),
    ("vgg11", {}, 132_863_336, TORCHVISION),
    ("vgg13", {}, 133_047_848, TORCHVISION),
    ("vgg16", {}, 138_357_544, TORCHVISION),
    ("vgg19", {}, 143_667_240, TORCHVISION),
    ("inception_v4", {}, 42_679_816, IMGCLSMOB),
    ("inception_resnet_v2", {}, 55_843_464, IMGCLSMOB),
    ("resnet18", {}, 11_689_512, TORCHVISION),
    ("resnet34", {}, 21_797_672, TORCHVISION),
    ("resnet50", {}, 25_557_032, TORCHVISION),
    ("resnet101", {}, 44_549_160, TORCHVISION),
    ("resnet152", {}, 60_192_808, TORCHVISION),
    # Without the projections 64x128+2x128, 128x256+2x256, 256x512+2x512.
    (
        "resnet18", {"shortcut": "identity"},
        11_689_512 - (8_192 + 256) - (32_768 + 512) - (131_072 + 1_024),
        BY_HAND,
    ),
    ("cifar_resnet20", {}, 269_722, AKAMASTER),
    ("cifar_resnet56", {}, 853_018, AKAMASTER),
    ("cifar_resnet110", {}, 1_727_962, AKAMASTER),
    ("cifar_resnet1202", {}, 19_421_274, AKAMASTER),
    # Shortcuts without weights: as many without them.
    ("cifar_plain20", {}, 269_722, AKAMASTER),
    ("cifar_plain56", {}, 853_018, AKAMASTER),
    ("densenet121", {}, 7_978_856, TORCHVISION),
    ("densenet169", {}, 14_149_480, TORCHVISION),
    ("densenet201", {}, 20_013_928, TORCHVISION),
    ("squeezenet", {}, 1_235_496, TORCHVISION),
    ("mobilenet", {}, 4_231_976, KERAS),
    ("unet", {}, 31_030_658, "gchlebus/U-Net, a reimplementation of the paper's figure 1"),
    # PyTorch's DCGAN tutorial has half the filters of the paper.
    ("dcgan_generator", {"width": 0.5}, 3_576_704, "PyTorch's DCGAN tutorial"),
    ("dcgan_discriminator", {"width": 0.5}, 2_765_568, "PyTorch's DCGAN tutorial"),
    # 110x256x49+512, 256x128x16+256, 128x16; 11x128x16, 128x256x16+512, 256x49.
    ("conditional_dcgan_generator", {}, 1_380_352 + 524_544 + 2_048, BY_HAND),
    ("conditional_dcgan_discriminator", {}, 22_528 + 524_800 + 12_544, BY_HAND),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "count", "source"), COUNTS)
def test_parameter_counts_are_the_published_ones(name, arguments, count, source):
    with tracing():
        assert create(name, **arguments).parameter_count == count, source


def test_every_model_has_a_golden_count():
    assert {name for name, *_ in COUNTS} | {"googlenet"} == set(MODELS)


# Szegedy et al. 2015, table 1: inputs, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
GOOGLENET = [
    (192, 64, 96, 128, 16, 32, 32), (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64), (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64), (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128), (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
]  # fmt: skip

#: The column of parameters of that table, in thousands; its sum is the 6.8 M often quoted.
GOOGLENET_COLUMN = [2.7, 112, 159, 380, 364, 437, 463, 580, 840, 1072, 1388, 1000]


def test_googlenet_counts_follow_the_papers_table():
    def conv(inputs, outputs, taps):
        return inputs * outputs * taps + outputs

    count = conv(3, 64, 49) + conv(64, 64, 1) + conv(64, 192, 9) + conv(1024, 1000, 1)
    for inputs, ones, reduce3, threes, reduce5, fives, pooled in GOOGLENET:
        count += conv(inputs, ones, 1) + conv(inputs, pooled, 1)
        count += conv(inputs, reduce3, 1) + conv(reduce3, threes, 9)
        count += conv(inputs, reduce5, 1) + conv(reduce5, fives, 25)
    assert count == 6_998_552
    assert sum(GOOGLENET_COLUMN) == pytest.approx(6797.7)
    # Section 5: 5x5 mean at stride 3, 128 filters 1x1 (4x4x128 = 2048), 1024 units, the classes.
    heads = sum(conv(c, 128, 1) + conv(2048, 1024, 1) + conv(1024, 1000, 1) for c in (512, 528))
    with tracing():
        assert create("googlenet", heads=False).parameter_count == count
        model = create("googlenet")
    assert model.parameter_count == count + heads
    assert [tap.weight for tap in nn.taps(model)] == [0.3, 0.3]


def stage_shapes(model, input_shape):
    """(name, shape of the result) of the layers of the outermost sequence."""
    shapes = {}
    for name, layer in model.children.items():
        input_shape = shapes[name] = layer.output_shape(input_shape)
    return shapes


# Figures and tables of the papers; (channels, height, width) after each stage.
STAGES = {
    # LeCun 1998, figure 2.
    "lenet5_1998": {"c1": (6, 28, 28), "s2": (6, 14, 14), "c3": (16, 10, 10), "s4": (16, 5, 5),
                    "c5": (120,), "f6": (84,), "output": (10,)},
    "lenet5": {"c1": (6, 28, 28), "s2": (6, 14, 14), "c3": (16, 10, 10), "s4": (16, 5, 5)},
    # The released network, whose framework rounds extents of poolings up.
    "squeezenet": {"conv1": (64, 113, 113), "pool1": (64, 56, 56), "pool3": (128, 28, 28),
                   "pool5": (256, 14, 14), "conv10": (1000, 14, 14), "flatten": (1000,)},
    # Szegedy et al. 2015, table 1.
    "googlenet": {"stem": (192, 28, 28), "inception3a": (256, 28, 28), "pool3b": (480, 14, 14),
                  "inception4a": (512, 14, 14), "inception4d": (528, 14, 14),
                  "pool4e": (832, 7, 7), "inception5b": (1024, 7, 7), "classifier": (1000,)},
    # Szegedy et al. 2017, figures 3 and 9.
    "inception_v4": {"stem": (384, 35, 35), "inception_a": (384, 35, 35),
                     "reduction_a": (1024, 17, 17), "inception_b": (1024, 17, 17),
                     "reduction_b": (1536, 8, 8), "inception_c": (1536, 8, 8)},
    # The released network: comments of TF-Slim's inception_resnet_v2.
    "inception_resnet_v2": {"stem": (192, 35, 35), "mixed": (320, 35, 35),
                            "reduction_a": (1088, 17, 17), "reduction_b": (2080, 8, 8),
                            "conv": (1536, 8, 8)},
    # He et al. 2016, table 1.
    "resnet18": {"stem": (64, 56, 56), "stage1": (64, 56, 56), "stage2": (128, 28, 28),
                 "stage3": (256, 14, 14), "stage4": (512, 7, 7)},
    "resnet50": {"stem": (64, 56, 56), "stage1": (256, 56, 56), "stage2": (512, 28, 28),
                 "stage3": (1024, 14, 14), "stage4": (2048, 7, 7)},
    # He et al. 2016, section 4.2.
    "cifar_resnet20": {"stem": (16, 32, 32), "stage1": (16, 32, 32), "stage2": (32, 16, 16),
                       "stage3": (64, 8, 8), "classifier": (10,)},
    # Huang et al. 2017, table 1; channels 64 + 6 x 32 = 256, half of it + 12 x 32 = 512, ...
    "densenet121": {"stem": (64, 56, 56), "block1": (256, 56, 56), "transition1": (128, 28, 28),
                    "block2": (512, 28, 28), "block3": (1024, 14, 14), "block4": (1024, 7, 7)},
    # Howard et al. 2017, table 1.
    "mobilenet": {"stem": (32, 112, 112), "blocks": (1024, 7, 7), "classifier": (1000,)},
    # Ronneberger et al. 2015, figure 1.
    "unet": {"down": (64, 568, 568), "join": (128, 392, 392), "up": (64, 388, 388),
             "scores": (2, 388, 388)},
    # Radford et al. 2016, figure 1.
    "dcgan_generator": {"project": (1024, 4, 4), "up1": (512, 8, 8), "up2": (256, 16, 16),
                        "up3": (128, 32, 32), "image": (3, 64, 64)},
    "conditional_dcgan_discriminator": {"down1": (128, 14, 14), "down2": (256, 7, 7),
                                        "flatten": (1,)},
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_stages_have_the_shapes_of_the_papers(name):
    with tracing():
        found = stage_shapes(create(name), MODELS[name].input_shape)
    assert {stage: found[stage] for stage in STAGES[name]} == STAGES[name]


# Krizhevsky et al. 2012, figure 2; Zeiler and Fergus 2014, figure 3; Simonyan and Zisserman,
# table 1 (five poolings of 224); the blocks of one network further in.
INNER = {
    "alexnet_two_towers": {"conv1": (96, 55, 55), "conv2": (256, 27, 27), "conv5": (256, 13, 13),
                           "pool5": (256, 6, 6)},
    "alexnet": {"conv1": (64, 55, 55), "conv2": (192, 27, 27), "pool5": (256, 6, 6)},
    "zfnet": {"conv1": (96, 110, 110), "pool1": (96, 55, 55), "conv2": (256, 26, 26),
              "pool2": (256, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6)},
    "vgg16": {"stage1": (64, 112, 112), "stage2": (128, 56, 56), "stage3": (256, 28, 28),
              "stage4": (512, 14, 14), "stage5": (512, 7, 7)},
}  # fmt: skip


@pytest.mark.parametrize("name", INNER)
def test_features_have_the_shapes_of_the_papers(name):
    with tracing():
        found = stage_shapes(create(name).children["features"], MODELS[name].input_shape)
    assert {stage: found[stage] for stage in INNER[name]} == INNER[name]


# Papers call it FLOPs, or Mult-Adds: in millions, and how exact they state it.
MULTIPLY_ADDS = [
    ("resnet18", {}, 1_800, 50), ("resnet34", {}, 3_600, 100), ("resnet50", {}, 3_800, 100),
    ("resnet101", {}, 7_600, 50), ("resnet152", {}, 11_300, 50),  # He et al., table 1
    ("mobilenet", {}, 569, 0.5), ("mobilenet", {"width": 0.75}, 325, 0.5),  # Howard, table 6
    ("mobilenet", {"width": 0.5}, 149, 0.5), ("mobilenet", {"width": 0.25}, 41, 0.5),
    ("mobilenet", {"input_size": 192}, 418, 0.5),  # and table 7
    ("squeezenet", {"input_size": 227}, 387.75, 0.01),  # the authors' network, layer by layer
    ("mobilenet", {"input_size": 160}, 290, 1.0), ("mobilenet", {"input_size": 128}, 186, 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "millions", "within"), MULTIPLY_ADDS)
def test_multiply_adds_are_those_of_the_papers(name, arguments, millions, within):
    size = arguments.get("input_size", 224)
    with tracing():
        model = create(name, **arguments)
    assert multiply_adds(model, (3, size, size)) / 1e6 == pytest.approx(millions, abs=within)


@pytest.mark.parametrize(("width", "millions"), [(1.0, 4.2), (0.75, 2.6), (0.5, 1.3), (0.25, 0.5)])
def test_width_is_the_multiplier_of_mobilenets_table_6(width, millions):
    with tracing():
        count = create("mobilenet", width=width).parameter_count
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_multiply_adds_of_two_layers_worked_by_hand():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(24, 5))
    # 6 maps of 2x2 pixels, each of 2 channels of 3x3; 24 x 5; once an example.
    assert multiply_adds(model, (4, 4, 4)) == 6 * 4 * 2 * 9 + 24 * 5


def test_counting_multiply_adds_leaves_out_heads_and_the_mode_as_it_was():
    with tracing():
        model, alone = create("googlenet"), create("googlenet", heads=False)
    assert multiply_adds(model, (3, 224, 224)) == multiply_adds(alone, (3, 224, 224))
    assert model.training


def test_scaled_rounds_and_keeps_one():
    assert [scaled(64, w) for w in (1, 0.5, 0.001)] == [64, 32, 1]
    assert [scaled(96, w, multiple=2) for w in (1, 0.26, 0.001)] == [96, 24, 2]
    assert scaled(1000, 1.5) == 1500
