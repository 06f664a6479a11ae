"""The networks that made history, as functions of width, classes and input size.

``create("resnet18", classes=10)`` makes one by its name; `MODELS` has them all. The functions
behind take the same arguments, and draw weights from the generator in force (`pycnn.nn.seeded`).
"""

from pycnn.models.alexnet import alexnet, alexnet_two_towers
from pycnn.models.build import create
from pycnn.models.cost import multiply_adds
from pycnn.models.dcgan import dcgan_discriminator, dcgan_generator, join_labels
from pycnn.models.densenet import densenet
from pycnn.models.googlenet import googlenet
from pycnn.models.inception_resnet import inception_resnet_v2
from pycnn.models.inception_v4 import inception_v4
from pycnn.models.lenet import lenet5, lenet5_1998
from pycnn.models.mobilenet import mobilenet
from pycnn.models.pretrained import PRETRAINED, Pretrained, load_pretrained
from pycnn.models.resnet import cifar_resnet, resnet
from pycnn.models.squeezenet import squeezenet
from pycnn.models.table import MODELS, ModelEntry
from pycnn.models.torchvision import load_torch_state
from pycnn.models.unet import unet
from pycnn.models.vgg import vgg
from pycnn.models.zfnet import zfnet

__all__ = [
    "MODELS",
    "PRETRAINED",
    "ModelEntry",
    "Pretrained",
    "alexnet",
    "alexnet_two_towers",
    "cifar_resnet",
    "create",
    "dcgan_discriminator",
    "dcgan_generator",
    "densenet",
    "googlenet",
    "inception_resnet_v2",
    "inception_v4",
    "join_labels",
    "lenet5",
    "lenet5_1998",
    "load_pretrained",
    "load_torch_state",
    "mobilenet",
    "multiply_adds",
    "resnet",
    "squeezenet",
    "unet",
    "vgg",
    "zfnet",
]
