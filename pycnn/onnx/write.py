"""Write a model of `pycnn.nn` as an ONNX file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pycnn.nn.layer import Layer
from pycnn.onnx import write_moving as _moving  # noqa: F401 - its layers register
from pycnn.onnx.package import package
from pycnn.onnx.write_layers import Writer
from pycnn.runtime.files import replacing

#: The opset that is written, and the version of the file format that goes with it.
OPSET, FORMAT = 21, 10


def export(model: Layer, path: Path | str, input_shape: Sequence[int] | None = None) -> None:
    """Write a model, in evaluation mode, with its weights; the batch may be of any size.

    Parameters
    ----------
    model : Layer
        Made of the layers of `pycnn.nn`, in NCHW.
    path : Path or str
    input_shape : sequence of int, optional
        Of one example, such as (3, 224, 224); a model of `pycnn.models.create` knows its own.

    Raises
    ------
    TypeError
        If a layer is one that is not exported; names it.
    ValueError
        If the model is in training mode, a setting has no counterpart, or there is no shape.
    MissingExtra
        If the package onnx is not installed.
    """
    helper = package("onnx.helper")
    for name, layer in model.named_layers():
        if layer.training:
            raise ValueError(f"layer {name!r} is in training mode; call model.eval() before")
    shape = tuple(input_shape) if input_shape is not None else _shape_of(model)
    result = model.output_shape(shape)  # refuses what the layers cannot compute
    dtype = _dtype_of(model)
    writer = Writer(1 + len(shape), dtype)
    last = writer.layer(model, "input", "model")
    if not writer.nodes:
        last = writer.node("Identity", [last])
    writer.nodes[-1].output[0] = "output"
    kind = int(helper.np_dtype_to_tensor_dtype(dtype))
    graph = helper.make_graph(
        writer.nodes,
        type(model).__name__,
        [helper.make_tensor_value_info("input", kind, ["N", *shape])],
        [helper.make_tensor_value_info("output", kind, ["N", *result])],
        writer.constants,
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT,
        producer_name="pycnn",
    )  # fmt: skip
    package("onnx.checker").check_model(proto, full_check=True)
    with replacing(Path(path)) as new:
        new.write_bytes(proto.SerializeToString())


def _shape_of(model: Layer) -> tuple[int, ...]:
    from pycnn.models import MODELS

    name = (model.recipe or {}).get("name")
    if name not in MODELS:
        raise ValueError("input_shape is missing; allowed: without only for pycnn.models.create")
    return MODELS[name].input_shape


def _dtype_of(model: Layer) -> np.dtype:
    parameters = model.parameters()
    return parameters[0].value.dtype if parameters else np.dtype(np.float32)
