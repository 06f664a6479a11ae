"""Labelled images: data sets that installed packages bring, folders of images, batches."""

from pycnn.data.batching import Batch, Transform, batches
from pycnn.data.catalogue import DATA_SETS, load
from pycnn.data.dataset import DataSet
from pycnn.data.pixels import normalise

__all__ = ["DATA_SETS", "Batch", "DataSet", "Transform", "batches", "load", "normalise"]
