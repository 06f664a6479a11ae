"""Read a model, check it, infer its shapes: by the package onnx, with one kind of error."""

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.onnx.compose import (
    bodies,
    check_functions,
    fill_defaults,
    is_composed,
    opsets_of,
    schema,
)
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.external import LARGEST, everywhere, load_external
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.registry import ONNX, find
from pycnn.onnx.package import package
from pycnn.onnx.tensor import array_of

#: Nesting of bodies; more would be no network.
DEEPEST = 16

#: Elements from which on a tensor is a weight, whose values no shape depends on.
WEIGHT = 1024

#: Elements of a vector of integers.
LONGEST = 2**24

Source = Any


def read(
    source: Source, free: Collection[str] = ()
) -> tuple[Any, dict[str, np.ndarray], list[Any]]:
    """The checked ``onnx.ModelProto`` of a path, of bytes or of a ``ModelProto``, and its weights.

    Those that the model lists among its inputs are only defaults there: they come third, as
    ``ValueInfoProto``, and `free` names some that are to be inputs like any other.

    Its shapes are inferred, as far as they are known before it runs. Weights are taken out of it
    before: the package onnx makes copies of a model wherever it looks at one.
    """
    model = _parsed(source)
    held = {tensor.name for tensor in model.graph.initializer}
    listed = [value for value in model.graph.input if value.name in held]
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in free]
    if len(kept) < len(model.graph.initializer):
        copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
        del model.graph.initializer[:]
        model.graph.initializer.extend(copies)
    _check_opset(model)
    _check_depth(model.graph, 0)
    _check_sizes(model)
    _check_inputs(model.graph)
    _check_values(model.graph)
    _check_operators(model)
    check_functions(model)
    weights = _take_weights(model)
    inferred = _checked(model)
    _check_values(inferred.graph)
    return inferred, weights, [value for value in listed if value.name not in free]


def _take_weights(model: Any) -> dict[str, np.ndarray]:
    """The large floating initializers, which become inputs of the model in place."""
    helper, graph = package("onnx.helper"), model.graph
    inputs = {value.name for value in graph.input}
    weights: dict[str, np.ndarray] = {}
    kept = []
    for tensor in graph.initializer:
        floating = tensor.data_type in (1, 10, 11, 16)  # float, float16, double, bfloat16
        if not floating or math.prod(tensor.dims) < WEIGHT or tensor.name in weights:
            kept.append(tensor)
            continue
        weights[tensor.name] = array_of(tensor)
        if tensor.name not in inputs:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    return weights


def _parsed(source: Source) -> Any:
    onnx = package()
    if isinstance(source, onnx.ModelProto):
        model = onnx.ModelProto()
        model.CopyFrom(source)
        folder = None
    else:
        model = onnx.ModelProto()
        folder = None
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            folder = path.parent
            if path.stat().st_size > LARGEST:
                raise OnnxError(f"{path} has more than {LARGEST} bytes")
            source = path.read_bytes()
        elif not isinstance(source, bytes):
            raise TypeError(
                f"a model of type {type(source).__name__}; allowed: a path, bytes, ModelProto"
            )
        try:
            model.ParseFromString(source)
        except Exception as error:  # of protobuf, whose class depends on its version
            raise OnnxError(f"no ONNX model, or a truncated one: {error}") from error
    load_external(model, folder)
    return model


def _check_opset(model: Any) -> None:
    newest = package("onnx.defs").onnx_opset_version()
    version = opsets_of(model.opset_import).get(ONNX, 1)
    if not 1 <= version <= newest:
        raise OnnxError(f"opset {version}; allowed: 1 to {newest}")


def _check_depth(graph: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise OnnxError(f"bodies within bodies more than {DEEPEST} deep")
    for node in graph.node:
        for body in bodies(node):
            _check_depth(body, depth + 1)


def _check_sizes(model: Any) -> None:
    """No tensor larger than memory, and none with less data than its shape says."""
    helper = package("onnx.helper")
    for tensor in everywhere(model):
        try:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        except (KeyError, ValueError, TypeError) as error:
            raise OnnxError(f"tensor {tensor.name!r} of unknown type {tensor.data_type}") from error
        check_size(tensor.dims, dtype.itemsize, f"tensor {tensor.name!r}")


def _checked(model: Any) -> Any:
    checker, inference = package("onnx.checker"), package("onnx.shape_inference")
    try:
        if any(_unknown_shape(value) for value in model.graph.output):  # which the checker refuses
            model = inference.infer_shapes(model)
        checker.check_model(model)
        fill_defaults(model.graph.node, opsets_of(model.opset_import))
        try:
            return inference.infer_shapes(model, True, True, data_prop=True)
        except inference.InferenceError:  # some bodies are refused with their values propagated
            return inference.infer_shapes(model, True, True)
    except Exception as error:  # classes of the package and of its C++ library
        raise OnnxError(f"not a valid model: {_first_lines(error)}") from error


def _unknown_shape(value: Any) -> bool:
    kind = value.type.WhichOneof("value")
    return kind is None or (kind == "tensor_type" and not value.type.tensor_type.HasField("shape"))


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


def _check_operators(model: Any) -> None:
    """Every operator is known: all that are missing are named at once."""
    opsets = opsets_of(model.opset_import)
    local = {(f.domain, f.name) for f in model.functions}
    missing: Counter[str] = Counter()
    for node in _nodes(model.graph):
        texts = (node.op_type, node.domain, node.name, *node.input, *node.output)
        if not all(isinstance(text, str) for text in texts):  # protobuf gives bytes then
            raise OnnxError(f"a name that is no UTF-8: {texts}")
        if node.op_type == "Einsum":
            _check_equation(node)
        domain = ONNX if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in local or is_composed(schema(node, opsets)):
            continue
        if find(domain, node.op_type, opsets.get(domain, 1)) is None:
            missing[f"{domain}.{node.op_type}" if domain else node.op_type] += 1
    if missing:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(missing.items()))
        raise OnnxError(f"unknown operators: {listed}; docs/onnx.md lists those that are known")


def _check_equation(node: Any) -> None:
    """Before shape inference, which does not come back from some other characters."""
    for attribute in node.attribute:
        text = attribute.s.decode("ascii", "replace")
        term = r"[A-Za-z ]*(?:\.\.\.)?[A-Za-z ]*"
        if not re.fullmatch(rf"{term}(?:,{term})*(?:->{term})?", text):
            raise OnnxError(f"equation {text!r}; allowed: letters, commas, one '...' a term, '->'")


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from _nodes(body)


def _check_inputs(graph: Any) -> None:
    """No input of a negative extent."""
    for value in graph.input:
        shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        if min(shape, default=0) < 0:
            raise OnnxError(f"input {value.name!r} of shape {shape}; allowed: no negative extent")


def _check_values(graph: Any) -> None:
    """No array that is larger than memory, as far as shapes are known; of bodies too.

    Nor a vector of integers, which may be taken for a shape, of more than `LONGEST`: shape
    inference makes an axis of each of its elements.
    """
    for value in (*graph.value_info, *graph.output, *graph.input):
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            continue
        shape = [max(d.dim_value, 1) for d in kind.shape.dim]  # inference gives -1, too
        check_size(shape, 1, f"value {value.name!r}")
        if len(shape) == 1 and shape[0] > LONGEST and kind.elem_type in (6, 7):  # int32, int64
            raise OnnxError(f"vector {value.name!r} of {shape[0]} integers; allowed: {LONGEST}")
    for node in graph.node:
        for body in bodies(node):
            _check_values(body)
