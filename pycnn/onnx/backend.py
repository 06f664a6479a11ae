"""onnx's own interface to what runs models: ``prepare``, ``run_model``, ``run_node``.

A module and a class are both used as a backend: this has the functions of the class as its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.package import package
from pycnn.onnx.session import Session
from pycnn.runtime.active import active_backend
from pycnn.runtime.backends import BackendUnavailable, backends, require

_REP: Any = package("onnx.backend.base").BackendRep
_BACKEND: Any = package("onnx.backend.base").Backend


class Prepared(_REP):
    """A model that `Backend.prepare` has read."""

    def __init__(self, session: Session, device: str) -> None:
        self.session, self._device = session, device

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, as a tuple that also has their names.

        Parameters
        ----------
        inputs : sequence of arrays, one array, or mapping of names to arrays
        """
        if kwargs:
            raise TypeError(f"unknown settings: {', '.join(kwargs)}")
        session = self.session
        if isinstance(inputs, dict):
            feeds = dict(inputs)
        else:
            given = list(inputs) if isinstance(inputs, Sequence) else [inputs]
            if len(given) > len(session.inputs):
                raise OnnxError(f"{len(given)} inputs; allowed: {len(session.inputs)}")
            feeds = {v.name: g for v, g in zip(session.inputs, given, strict=False)}
        if self._device.startswith("CUDA"):
            import cupy

            feeds = {n: cupy.asarray(a) for n, a in feeds.items()}
        results = session.run(None, feeds)
        if self._device.startswith("CUDA"):
            results = [r.get() if hasattr(r, "get") else r for r in results]
        named = package("onnx.backend.base").namedtupledict
        return named("Outputs", [v.name for v in session.outputs])(*results)


class Backend(_BACKEND):
    """Runs models by pycnn: on the device ``"CPU"`` on the active backend, or on ``"CUDA"``."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` takes the model."""
        try:
            cls.prepare(model, device, **kwargs)
        except (OnnxError, BackendUnavailable):
            return False
        return True

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Read a model, to be run many times."""
        if kwargs:
            raise TypeError(f"unknown settings: {', '.join(kwargs)}")
        _require(device)
        return Prepared(Session(model), device)

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> Any:
        """The outputs of a model."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> Any:
        """The outputs of one node, of the newest opset or that of ``opset_version``."""
        helper, newest = package("onnx.helper"), package("onnx.defs").onnx_opset_version()
        opset = kwargs.pop("opset_version", newest)
        given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        names = [name for name in node.input if name]
        if len(given) != len(names):
            raise OnnxError(f"{len(given)} inputs; allowed: {len(names)}")
        typed = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(array.dtype)), array.shape
            )
            for name, array in zip(names, given, strict=True)
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        if outputs_info is not None:
            outputs = [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
                )
                for name, (dtype, shape) in zip(
                    filter(None, node.output), outputs_info, strict=True
                )
            ]
        else:
            outputs = _inferred(node, typed, outputs, opset)
        graph = helper.make_graph([node], "node", typed, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])
        return cls.run_model(model, given, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can run there: ``"CPU"``, ``"CUDA"`` where there is a GPU."""
        name = device.partition(":")[0]
        if name == "CUDA":
            return next(status.available for status in backends() if status.name == "cuda")
        return name == "CPU" and active_backend() is not None


def _inferred(node: Any, inputs: list[Any], outputs: list[Any], opset: int) -> list[Any]:
    """What the outputs of a node are, by shape inference; without it their dtype is the input's."""
    helper, inference = package("onnx.helper"), package("onnx.shape_inference")
    graph = helper.make_graph([node], "node", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])
    try:
        return list(inference.infer_shapes(model).graph.output)
    except inference.InferenceError as error:
        raise OnnxError(f"node {node.op_type}: {error}") from error


def _require(device: str) -> None:
    if not Backend.supports_device(device):
        if device.partition(":")[0] == "CUDA":
            require("cuda")
        raise OnnxError(f"device {device!r}; allowed: 'CPU', 'CUDA'")


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
