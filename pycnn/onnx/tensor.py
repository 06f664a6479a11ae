"""Arrays of a model."""

from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.package import package


def array_of(tensor: Any) -> np.ndarray:
    """The array of a ``TensorProto``, read-only."""
    try:
        array = package("onnx.numpy_helper").to_array(tensor)
    except Exception as error:  # whatever wrong data leads to
        raise OnnxError(f"tensor {tensor.name!r}: {error}") from error
    array = np.asarray(array)
    array.flags.writeable = False
    return array
