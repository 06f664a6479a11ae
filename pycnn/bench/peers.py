"""Whom pycnn is measured against: PyTorch on the CPU, cuDNN through PyTorch, and ONNX Runtime.

Each gets its best setting: both memory layouts are tried (no transposition is timed), cuDNN is
autotuned, ONNX Runtime packs the weight beforehand. TF32 is off, for float32 means IEEE float32.
"""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn.bench.cases import Case
from pycnn.bench.contestants import FLUSH_BYTES, Call, Contestant
from pycnn.bench.measure import Clock, torch_clock
from pycnn.bench.operations.base import FORWARD, Operation, Unsupported

PEERS = ("torch", "onnxruntime", "cudnn")


class Torch(Contestant):
    """PyTorch on the CPU, or on the GPU through cuDNN."""

    def __init__(self, device: str, layout: str) -> None:
        self.backend = "cudnn" if device == "cuda" else "torch"
        self.device, self.layout = device, layout
        self.algorithm = {"NCHW": "contiguous", "NHWC": "channels_last"}[layout]

    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        tensors = {name: self._tensor(array) for name, array in arrays.items()}
        call = op.torch(case, direction, tensors)
        if self.device == "cuda":
            with self.active():
                call()  # here cuDNN tries its algorithms
        return call

    def _tensor(self, array: np.ndarray) -> Any:
        import torch

        tensor = torch.from_numpy(array).to(self.device)
        if self.layout == "NHWC" and tensor.ndim == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def numpy(self, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}

    def clock(self) -> Clock:
        return torch_clock() if self.device == "cuda" else super().clock()

    def flush(self) -> Callable[[], object] | None:
        if self.device == "cpu":
            return None
        import torch

        return torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda").zero_

    @contextlib.contextmanager
    def active(self) -> Any:
        import torch

        cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with torch.inference_mode(), cudnn:
            yield


class OnnxRuntime(Contestant):
    """ONNX Runtime on the CPU, a model of one node."""

    backend, algorithm = "onnxruntime", "default"

    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Lacking

        if direction != FORWARD:
            raise Unsupported("onnxruntime computes no gradients")
        node_type, inputs, attributes = op.onnx_node(case)
        name, shape = next(iter(op.output_shapes(case, direction).items()))
        model = _one_node(node_type, inputs, attributes, arrays, name, shape)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        providers = ["CPUExecutionProvider"]
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers)
        except Lacking as error:
            raise Unsupported(f"onnxruntime lacks it: {error}") from None
        fed = {inputs[0]: arrays[inputs[0]]}
        return lambda: {name: session.run(None, fed)[0]}


def _one_node(
    node_type: str,
    inputs: tuple[str, ...],
    attributes: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    output: str,
    shape: tuple[int, ...],
) -> Any:
    """A model of one node; every input but the first is a constant, as weights are."""
    from onnx import checker, helper, numpy_helper

    element = helper.np_dtype_to_tensor_dtype(arrays[inputs[0]].dtype)
    first = helper.make_tensor_value_info(inputs[0], element, arrays[inputs[0]].shape)
    graph = helper.make_graph(
        [helper.make_node(node_type, inputs, [output], **attributes)],
        "layer",
        [first],
        [helper.make_tensor_value_info(output, element, shape)],
        [numpy_helper.from_array(arrays[name], name) for name in inputs[1:]],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    checker.check_model(model)
    return model


def missing(peer: str) -> str:
    """Why `peer` cannot be measured here and what would help; empty where it can."""
    needed = {"torch": ["torch"], "cudnn": ["torch"], "onnxruntime": ["onnxruntime", "onnx"]}
    for module in needed[peer]:
        if importlib.util.find_spec(module) is None:
            return f"{peer} needs the package {module}; install it with: pip install {module}"
    if peer == "cudnn":
        import torch

        if not torch.cuda.is_available():
            return "cudnn needs PyTorch with CUDA and a GPU"
        if not torch.backends.cudnn.is_available():
            return "cudnn needs a PyTorch built with cuDNN"
    return ""


def of_peer(peer: str, op: Operation) -> list[Contestant]:
    """The contestants that stand for `peer`."""
    if peer == "onnxruntime":
        return [OnnxRuntime()]
    device = "cuda" if peer == "cudnn" else "cpu"
    has_maps = op.name in ("conv2d", "max_pool2d", "avg_pool2d", "relu")
    return [Torch(device, layout) for layout in (("NCHW", "NHWC") if has_maps else ("NCHW",))]
