"""How every model is made small enough for a test: narrow, and of small inputs."""

THIN = 1 / 16
SMALL = {
    "lenet5": {},
    "lenet5_32": {},
    "lenet5_1998": {},
    "alexnet": {"input_size": 71, "width": THIN},
    "alexnet_two_towers": {"input_size": 75, "width": THIN},
    "zfnet": {"input_size": 75, "width": THIN},
    **{f"vgg{depth}": {"input_size": 32, "width": THIN} for depth in (11, 13, 16, 19)},
    "googlenet": {"input_size": 80, "width": 1 / 8},
    "inception_v4": {"input_size": 79, "width": THIN},
    "inception_resnet_v2": {"input_size": 79, "width": THIN},
    **{f"resnet{depth}": {"input_size": 64, "width": THIN} for depth in (18, 34, 50, 101, 152)},
    **{f"cifar_resnet{depth}": {"input_size": 8, "width": 1 / 8} for depth in (20, 56, 110, 1202)},
    **{f"cifar_plain{depth}": {"input_size": 8, "width": 1 / 8} for depth in (20, 56)},
    **{f"densenet{depth}": {"input_size": 64, "width": THIN} for depth in (121, 169, 201)},
    "squeezenet": {"input_size": 51, "width": 1 / 8},
    "mobilenet": {"input_size": 64, "width": 1 / 4},
    "unet": {"input_size": 44, "width": 1 / 32, "levels": 2},
    "dcgan_generator": {"input_shape": (7,), "image_shape": (3, 32, 32), "width": 1 / 32},
    "dcgan_discriminator": {"input_size": 32, "width": 1 / 32},
    "conditional_dcgan_generator": {"width": 1 / 32},
    "conditional_dcgan_discriminator": {"width": 1 / 32},
}
