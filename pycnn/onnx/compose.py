"""Operators that are defined by others: functions of a model, and those that ONNX defines so.

A node of one is replaced by the nodes of its definition, until all are in the table of operators.
"""

from collections.abc import Iterator
from typing import Any

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.registry import ONNX, find
from pycnn.onnx.package import package

#: Nodes of a model after all definitions are put in; definitions within definitions could be more.
MOST_NODES = 10**5

#: Calls of functions within functions.
DEEPEST = 32

Opsets = dict[str, int]


def opsets_of(imports: Any) -> Opsets:
    """Version by domain."""
    for one in imports:
        if not 1 <= one.version < 2**31:
            raise OnnxError(f"version {one.version} of domain {one.domain!r}; allowed: from 1 on")
    return {ONNX if s.domain == "ai.onnx" else s.domain: s.version for s in imports} or {ONNX: 1}


def schema(node: Any, opsets: Opsets) -> Any:
    """ONNX's definition of the operator of a node, or None."""
    defs = package("onnx.defs")
    domain = ONNX if node.domain == "ai.onnx" else node.domain
    try:
        return defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return None


def is_composed(found: Any) -> bool:
    """Whether a schema has a definition in terms of other operators."""
    return found is not None and (found.has_function or found.has_context_dependent_function)


def check_functions(model: Any) -> None:
    """No function of a model calls itself, and all calls together are of no more than `MOST_NODES`.

    Asked before anything goes through them, shape inference too, which would take as long.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Any, above: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = node.domain, node.op_type
            total += 1 + sum(size(body.node, above) for body in bodies(node))
            if key in functions:
                if key in above or len(above) > DEEPEST:
                    raise OnnxError(f"function {node.op_type} is defined by itself, or too deep")
                if key not in sizes:
                    sizes[key] = size(functions[key].node, (*above, key))
                total += sizes[key]
            if total > MOST_NODES:
                raise OnnxError(f"functions of more than {MOST_NODES} nodes")
        return total

    size(model.graph.node, ())
    for key, function in functions.items():
        size(function.node, (key,))


def fill_defaults(nodes: Any, opsets: Opsets) -> None:
    """Write the default attributes of composed operators, in place: definitions refer to them."""
    for node in nodes:
        for body in bodies(node):
            fill_defaults(body.node, opsets)
        found = schema(node, opsets)
        if is_composed(found):
            _add_defaults(node, [a.default_value for a in found.attributes.values()])


def bodies(node: Any) -> Iterator[Any]:
    """The graphs of If, Loop and Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _add_defaults(node: Any, defaults: Any) -> None:
    given = {a.name for a in node.attribute}
    for default in defaults:
        if default.name and default.type and default.name not in given:
            node.attribute.append(default)


class Composer:
    """Replaces nodes by those of their definitions.

    Attributes
    ----------
    types : dict
        ``onnx.TypeProto`` by name: some definitions depend on the types of what goes in.
    """

    def __init__(self, model: Any) -> None:
        self._local = {(f.domain, f.name): f for f in model.functions}
        self.types: dict[str, Any] = {}
        self._gather(model.graph)
        self._count = 0

    def _gather(self, graph: Any) -> None:
        for value in (*graph.value_info, *graph.input, *graph.output):
            self.types[value.name] = value.type
        for tensor in graph.initializer:
            made = package("onnx.helper").make_tensor_type_proto(tensor.data_type, tensor.dims)
            self.types[tensor.name] = made
        for node in graph.node:
            for body in bodies(node):
                self._gather(body)

    def expand(self, node: Any, opsets: Opsets, depth: int = 0) -> Iterator[tuple[Any, Opsets]]:
        """The node itself, or those that it stands for, each with the opsets that it is of."""
        self._count += 1
        if depth > DEEPEST or self._count > MOST_NODES:
            raise OnnxError(f"{node.op_type} is defined by itself, or by too many nodes")
        domain = ONNX if node.domain == "ai.onnx" else node.domain
        local = self._local.get((node.domain, node.op_type))
        if local is None and find(domain, node.op_type, opsets.get(domain, 1)) is not None:
            yield node, opsets
            return
        function = local if local is not None else self._definition(node, opsets)
        inner = opsets_of(function.opset_import)
        for made in self._instance(node, function):
            yield from self.expand(made, inner, depth + 1)

    def _definition(self, node: Any, opsets: Opsets) -> Any:
        found = schema(node, opsets)
        if not is_composed(found):
            raise OnnxError(f"unknown operator: {node.op_type}")
        onnx = package()
        version = opsets.get(node.domain if node.domain != "ai.onnx" else ONNX, 1)
        if found.has_function:
            text = found.get_function_with_opset_version(found.function_opset_versions[-1])
        else:
            try:
                types = [
                    self.types[name].SerializeToString() if name else b"" for name in node.input
                ]
            except KeyError as error:
                raise OnnxError(f"{node.op_type}: the type of {error} is not known") from error
            versions = found.context_dependent_function_opset_versions
            chosen = max((v for v in versions if v <= version), default=versions[0])
            text = found.get_context_dependent_function_with_opset_version(
                chosen, node.SerializeToString(), types
            )
        function = onnx.FunctionProto()
        function.ParseFromString(text)
        if not function.opset_import:
            function.opset_import.add(domain="", version=version)
        _add_defaults(node, [a.default_value for a in found.attributes.values()])
        return function

    def _instance(self, node: Any, function: Any) -> Iterator[Any]:
        """The nodes of a definition, with the names and attributes of the node it is for."""
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            raise OnnxError(f"{node.op_type} has more inputs or outputs than its definition")
        names = dict.fromkeys((*function.input, *function.output), "")
        prefix = f"{node.op_type}.{self._count}."
        names |= {name: prefix + name for name in function.output}
        names |= zip(function.input, node.input, strict=False)
        names |= {f: n for f, n in zip(function.output, node.output, strict=False) if n}
        attributes = {a.name: a for a in function.attribute_proto}
        attributes |= {a.name: a for a in node.attribute}
        for part in function.node:
            made = package().NodeProto()
            made.CopyFrom(part)
            _rename([made], names, prefix)
            _substitute([made], attributes)
            made.name = f"{node.name or node.op_type}.{part.name or part.op_type}"
            yield made


def _rename(nodes: Any, names: dict[str, str], prefix: str) -> None:
    """Names of a definition become those of the model, or new ones."""
    for node in nodes:
        node.input[:] = [names.get(n, prefix + n) if n else "" for n in node.input]
        node.output[:] = [names.get(n, prefix + n) if n else "" for n in node.output]
        for body in bodies(node):
            for value in (*body.input, *body.output, *body.value_info, *body.initializer):
                value.name = names.get(value.name, prefix + value.name)
            _rename(body.node, names, prefix)


def _substitute(nodes: Any, attributes: dict[str, Any]) -> None:
    """Attributes that refer to those of the definition get their values, or are left out."""
    for node in nodes:
        kept = []
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                given = attributes.get(attribute.ref_attr_name)
                if given is None:
                    continue
                name = attribute.name
                attribute.CopyFrom(given)
                attribute.name = name
            kept.append(attribute)
        copies = [package().AttributeProto() for _ in kept]
        for copy, attribute in zip(copies, kept, strict=True):
            copy.CopyFrom(attribute)
        del node.attribute[:]
        node.attribute.extend(copies)
        for body in bodies(node):
            _substitute(body.node, attributes)
