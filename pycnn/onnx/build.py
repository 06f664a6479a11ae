"""From a checked ``onnx.ModelProto`` to a `Graph`."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.onnx.compose import Composer, Opsets, opsets_of
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.graph import Graph, Node, Shape, Value
from pycnn.onnx.operators.registry import ONNX, Operator, find
from pycnn.onnx.package import package
from pycnn.onnx.tensor import array_of


def build(model: Any, weights: Mapping[str, np.ndarray]) -> Graph:
    """The graph of a model that `read` has checked."""
    return _graph(model.graph, opsets_of(model.opset_import), Composer(model), weights)


def _graph(
    proto: Any, opsets: Opsets, composer: Composer, weights: Mapping[str, np.ndarray]
) -> Graph:
    constants = {**weights, **{t.name: array_of(t) for t in proto.initializer}}
    for sparse in proto.sparse_initializer:
        constants[sparse.values.name] = _dense(sparse)
    return Graph(
        proto.name,
        [value_of(v) for v in proto.input if v.name not in constants],
        [value_of(v) for v in proto.output],
        constants,
        [
            _node(part, own, composer)
            for node in proto.node
            for part, own in composer.expand(node, opsets)
        ],
        _shapes(proto),
    )


def _shapes(proto: Any) -> dict[str, Shape]:
    values = (value_of(v) for v in (*proto.value_info, *proto.input, *proto.output))
    return {value.name: value.shape for value in values if value.shape is not None}


def _node(proto: Any, opsets: Opsets, composer: Composer) -> Node:
    domain = ONNX if proto.domain == "ai.onnx" else proto.domain
    operator = find(domain, proto.op_type, opsets.get(domain, 1))
    if operator is None:
        raise OnnxError(f"unknown operator: {proto.op_type}")
    attributes = {a.name: _attribute(a, opsets, composer) for a in proto.attribute}
    node = Node(operator, tuple(proto.input), tuple(proto.output), attributes, proto.name)
    _check_call(node, operator)
    return node


def _check_call(node: Node, operator: Operator) -> None:
    """The function of the operator takes this many inputs and these attributes."""
    extra = {name: None for name in ("outputs", "scope") if name in operator.keywords}
    try:
        inspect.signature(operator.function).bind(*node.inputs, **node.attributes, **extra)
    except TypeError as error:
        raise OnnxError(f"node {node}: {error}") from error


def _attribute(proto: Any, opsets: Opsets, composer: Composer) -> Any:
    kinds = proto.AttributeType
    if proto.type == kinds.GRAPH:
        return _graph(proto.g, opsets, composer, {})
    if proto.type == kinds.TENSOR:
        return array_of(proto.t)
    if proto.type == kinds.SPARSE_TENSOR:
        return _dense(proto.sparse_tensor)
    if proto.ref_attr_name:
        raise OnnxError(f"attribute {proto.name!r} refers to one of a function")
    if proto.type == kinds.STRING:
        return _text(proto.s)
    if proto.type == kinds.STRINGS:
        return [_text(s) for s in proto.strings]
    if proto.type in (kinds.GRAPHS, kinds.TENSORS, kinds.UNDEFINED, kinds.SPARSE_TENSORS):
        raise OnnxError(f"attribute {proto.name!r} of a type that no operator has")
    value = package("onnx.helper").get_attribute_value(proto)
    return list(value) if proto.type in (kinds.INTS, kinds.FLOATS) else value


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise OnnxError(f"a text of an attribute: {error}") from error


def _dense(sparse: Any) -> np.ndarray:
    values, places = array_of(sparse.values), array_of(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    try:
        if places.ndim == 1:
            dense.reshape(-1)[places] = values
        else:
            dense[tuple(places.T)] = values
    except (IndexError, ValueError) as error:
        raise OnnxError(f"sparse tensor {sparse.values.name!r}: {error}") from error
    return dense


def value_of(proto: Any) -> Value:
    """Name, dtype and shape of a ``ValueInfoProto``."""
    kind = proto.type.WhichOneof("value")
    if kind is None:
        return Value(proto.name)
    if kind != "tensor_type":
        return Value(proto.name, kind=kind.removesuffix("_type"))
    tensor = proto.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param or None
            for d in tensor.shape.dim
        )
    dtype = None
    if tensor.elem_type:
        dtype = package("onnx.helper").tensor_dtype_to_np_dtype(tensor.elem_type)
    return Value(proto.name, dtype, shape)
