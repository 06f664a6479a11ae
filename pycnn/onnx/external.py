"""External data: weights in files beside the model, and nowhere else."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pycnn.onnx.errors import OnnxError

#: Bytes of one model: what a message of protobuf can hold.
LARGEST = 2**31 - 1


def tensors(graph: Any) -> Iterator[Any]:
    """Every tensor of a graph: initializers, attributes of nodes, those of bodies too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from tensors(attribute.g)
            for body in attribute.graphs:
                yield from tensors(body)


def everywhere(model: Any) -> Iterator[Any]:
    """Every tensor of a model."""
    yield from tensors(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def load_external(model: Any, folder: Path | None) -> None:
    """Put external data into the model, in place; nothing outside of `folder` is opened."""
    outside = [t for t in everywhere(model) if t.data_location == t.EXTERNAL]
    total = 0
    for tensor in outside:
        settings = {entry.key: entry.value for entry in tensor.external_data}
        location = settings.get("location", "")
        if folder is None:
            raise OnnxError(
                f"tensor {tensor.name!r} has its data in {location!r}; allowed: external data of a "
                "model that is loaded from a path"
            )
        path = _confined(tensor.name, location, folder)
        size = path.stat().st_size
        offset = _number(tensor.name, settings, "offset", 0)
        length = _number(tensor.name, settings, "length", max(size - offset, 0))
        if not 0 <= offset <= offset + length <= size:
            raise OnnxError(
                f"tensor {tensor.name!r} is at {offset} + {length} bytes of {location!r}; allowed: "
                f"within its {size} bytes"
            )
        total += length
        if total > LARGEST:
            raise OnnxError(f"external data of more than {LARGEST} bytes")
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.data_location = tensor.DEFAULT
        del tensor.external_data[:]


def _confined(name: str, location: str, folder: Path) -> Path:
    """The file, if it is a plain one within the folder, links followed."""
    root = Path(os.path.realpath(folder))
    try:
        path = Path(os.path.realpath(root / location))
    except (ValueError, OSError) as error:
        raise OnnxError(f"tensor {name!r}: external data in {location!r}: {error}") from error
    if not location or Path(location).is_absolute() or not path.is_relative_to(root):
        raise OnnxError(
            f"tensor {name!r}: external data in {location!r}; allowed: a file within the folder of "
            "the model"
        )
    if not path.is_file():
        raise OnnxError(f"tensor {name!r}: external data in {location!r}, which is no file")
    return path


def _number(name: str, settings: dict[str, str], key: str, default: int) -> int:
    text = settings.get(key, str(default))
    if not text.isdecimal():
        raise OnnxError(f"tensor {name!r}: {key} of external data is {text!r}; allowed: a number")
    return int(text)
