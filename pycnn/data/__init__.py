"""Labelled images: data sets that installed packages bring, folders of images, batches."""

from pycnn.data import augment
from pycnn.data.arrays import Arrays
from pycnn.data.batching import Batch, Mix, Transform, batches
from pycnn.data.catalogue import DATA_SETS, load
from pycnn.data.dataset import DataSet
from pycnn.data.folders import folder
from pycnn.data.idx import read_idx
from pycnn.data.image import read_image
from pycnn.data.pixels import normalise

__all__ = [
    "DATA_SETS",
    "Arrays",
    "Batch",
    "DataSet",
    "Mix",
    "Transform",
    "augment",
    "batches",
    "folder",
    "load",
    "normalise",
    "read_idx",
    "read_image",
]
