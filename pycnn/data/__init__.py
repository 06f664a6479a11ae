"""Labelled images: data sets that installed packages bring, folders of images, batches."""

from pycnn.data import augment
from pycnn.data.batching import Batch, Transform, batches
from pycnn.data.catalogue import DATA_SETS, load
from pycnn.data.dataset import DataSet
from pycnn.data.folders import folder
from pycnn.data.idx import read_idx
from pycnn.data.image import read_image
from pycnn.data.pixels import normalise

__all__ = [
    "DATA_SETS",
    "Batch",
    "DataSet",
    "Transform",
    "augment",
    "batches",
    "folder",
    "load",
    "normalise",
    "read_idx",
    "read_image",
]
