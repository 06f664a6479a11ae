"""Every network by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pycnn import nn
from pycnn.models.alexnet import alexnet, alexnet_two_towers
from pycnn.models.dcgan import dcgan_discriminator, dcgan_generator
from pycnn.models.densenet import densenet
from pycnn.models.googlenet import googlenet
from pycnn.models.inception_resnet import inception_resnet_v2
from pycnn.models.inception_v4 import inception_v4
from pycnn.models.lenet import lenet5, lenet5_1998
from pycnn.models.mobilenet import mobilenet
from pycnn.models.resnet import cifar_resnet, resnet
from pycnn.models.squeezenet import squeezenet
from pycnn.models.unet import unet
from pycnn.models.vgg import vgg
from pycnn.models.zfnet import zfnet


@dataclass(frozen=True)
class ModelEntry:
    """A network: the function that makes it, what it takes, and where it was published.

    Attributes
    ----------
    builder : function
        Makes the network; `create` checks its arguments and seeds it first.
    input_shape : tuple of int
        Of one example, unless told otherwise: (channels, height, width), or (elements,).
    paper : str
    """

    builder: Callable[..., nn.Sequential]
    input_shape: tuple[int, ...]
    paper: str


LENET = "LeCun et al. 1998"
KRIZHEVSKY = "Krizhevsky et al. 2012"
VGG = "Simonyan and Zisserman 2015"
INCEPTION_V4 = "Szegedy et al. 2017"
RESNET = "He et al. 2016"
DENSENET = "Huang et al. 2017"
DCGAN = "Radford et al. 2016"
CONDITIONAL = "Mirza and Osindero 2014"

PHOTO = (3, 224, 224)

MODELS: dict[str, ModelEntry] = {
    "lenet5": ModelEntry(lenet5, (1, 28, 28), LENET),
    "lenet5_32": ModelEntry(partial(lenet5, padding=0), (1, 32, 32), LENET),
    "lenet5_1998": ModelEntry(lenet5_1998, (1, 32, 32), LENET),
    "alexnet": ModelEntry(alexnet, PHOTO, "Krizhevsky 2014"),
    "alexnet_two_towers": ModelEntry(alexnet_two_towers, (3, 227, 227), KRIZHEVSKY),
    "zfnet": ModelEntry(zfnet, PHOTO, "Zeiler and Fergus 2014"),
    **{f"vgg{d}": ModelEntry(partial(vgg, d), PHOTO, VGG) for d in (11, 13, 16, 19)},
    "googlenet": ModelEntry(googlenet, PHOTO, "Szegedy et al. 2015"),
    "inception_v4": ModelEntry(inception_v4, (3, 299, 299), INCEPTION_V4),
    "inception_resnet_v2": ModelEntry(inception_resnet_v2, (3, 299, 299), INCEPTION_V4),
    **{f"resnet{d}": ModelEntry(partial(resnet, d), PHOTO, RESNET) for d in (18, 34, 50, 101, 152)},
    **{
        f"cifar_resnet{d}": ModelEntry(partial(cifar_resnet, d), (3, 32, 32), RESNET)
        for d in (20, 56, 110, 1202)
    },
    **{
        f"cifar_plain{d}": ModelEntry(
            partial(cifar_resnet, d, shortcut="none"), (3, 32, 32), RESNET
        )
        for d in (20, 56)
    },
    **{f"densenet{d}": ModelEntry(partial(densenet, d), PHOTO, DENSENET) for d in (121, 169, 201)},
    "squeezenet": ModelEntry(squeezenet, (3, 227, 227), "Iandola et al. 2016"),
    "mobilenet": ModelEntry(mobilenet, PHOTO, "Howard et al. 2017"),
    "unet": ModelEntry(unet, (1, 572, 572), "Ronneberger et al. 2015"),
    "dcgan_generator": ModelEntry(dcgan_generator, (100,), DCGAN),
    "dcgan_discriminator": ModelEntry(dcgan_discriminator, (3, 64, 64), DCGAN),
    "conditional_dcgan_generator": ModelEntry(
        partial(dcgan_generator, image_shape=(1, 28, 28)), (100 + 10,), CONDITIONAL
    ),
    "conditional_dcgan_discriminator": ModelEntry(
        dcgan_discriminator, (1 + 10, 28, 28), CONDITIONAL
    ),
}
