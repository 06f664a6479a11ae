"""Whom pycnn is measured against: PyTorch on the CPU, cuDNN through PyTorch, and ONNX Runtime.

Each gets its best setting: both memory layouts are tried (no transposition is timed), cuDNN is
autotuned, ONNX Runtime packs the weight beforehand; on the CPU all have as many threads as ours.
``cudnn`` computes float32 in IEEE float32; where TF32 would be quicker, ``cudnn-tf32`` takes part
beside it, under its own name and tolerance. In 16 bits it may round partial sums, which ours never
do.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn.bench.cases import Case
from pycnn.bench.measure import Clock, torch_clock
from pycnn.bench.operations.base import FORWARD, Operation, Unsupported
from pycnn.bench.runners import FLUSH_BYTES, Call, Runner
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.reference.cpu._threads import thread_count
from pycnn.runtime.extras import install
from pycnn.testing.tested import tensor_of

PEERS = ("torch", "onnxruntime", "cudnn")

#: cuDNN and cuBLAS with float32 rounded to 11 bits before every multiplication.
CUDNN_TF32 = "cudnn-tf32"


class Torch(Runner):
    """PyTorch on the CPU, or on the GPU through cuDNN."""

    def __init__(self, device: str, layout: str, precision: str = "") -> None:
        self.backend = "cudnn" if device == "cuda" else "torch"
        if precision:
            self.backend = CUDNN_TF32
        self.device, self.layout, self.precision = device, layout, precision
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

        tensor = tensor_of(array).to(self.device)
        if self.layout == "NHWC" and tensor.ndim == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def numpy(self, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {name: _array(tensor) for name, tensor in outputs.items()}

    def coarse(self, dtype: str) -> float:
        """TF32 has 11 bits; partial sums of 16-bit types are rounded to them here and there."""
        if self.precision == "tf32":
            return 2.0**-10
        return FLOATS[dtype].eps if FLOATS[dtype].is_half else 0.0

    def clock(self) -> Clock:
        return torch_clock() if self.device == "cuda" else super().clock()

    def flush(self) -> Callable[[], object] | None:
        if self.device == "cpu":
            return None
        import torch

        return torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda").zero_

    def release(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.empty_cache()

    @contextlib.contextmanager
    def active(self) -> Any:
        import torch

        tf32, products = self.precision == "tf32", torch.backends.cuda.matmul
        before, threads = products.allow_tf32, torch.get_num_threads()
        cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32)
        with torch.inference_mode(), cudnn:
            products.allow_tf32 = tf32
            torch.set_num_threads(thread_count())
            try:
                yield
            finally:
                products.allow_tf32 = before
                torch.set_num_threads(threads)


def _array(tensor: Any) -> np.ndarray:
    import torch

    if tensor.dtype != torch.bfloat16:
        return tensor.cpu().numpy()
    return tensor.cpu().view(torch.int16).numpy().view(numpy_dtype("bfloat16"))


class OnnxRuntime(Runner):
    """ONNX Runtime on the CPU, a model of one node."""

    backend, algorithm = "onnxruntime", "default"

    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Lacking

        if direction != FORWARD:
            raise Unsupported("onnxruntime computes no gradients")
        if any(array.dtype.name == "bfloat16" for array in arrays.values()):
            raise Unsupported("onnxruntime takes no bfloat16 from NumPy")
        node_type, inputs, attributes = op.onnx_node(case)
        name, shape = next(iter(op.output_shapes(case, direction).items()))
        model = _one_node(node_type, inputs, attributes, arrays, name, shape)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
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
    needed = {
        "torch": ["torch"],
        "cudnn": ["torch", "cupy"],
        "onnxruntime": ["onnxruntime", "onnx"],
    }
    for module in needed[peer]:
        if importlib.util.find_spec(module) is None:
            return f"{peer} needs the package {module}; install it with: {_install(module)}"
    if peer == "cudnn":
        import torch

        if not torch.cuda.is_available():
            return "cudnn needs PyTorch with CUDA and a GPU"
        if not torch.backends.cudnn.is_available():
            return "cudnn needs a PyTorch built with cuDNN"
    return ""


def _install(module: str) -> str:
    known = {"torch": "torch", "onnx": "onnx", "cupy": "cuda13"}
    return install(known[module]) if module in known else f"pip install {module}"


def of_peer(peer: str, op: Operation, dtype: str) -> list[Runner]:
    """The runners that stand for `peer`."""
    if peer == "onnxruntime":
        return [OnnxRuntime()]
    device = "cuda" if peer == "cudnn" else "cpu"
    has_maps = op.name in ("conv2d", "max_pool2d", "avg_pool2d", "relu")
    layouts = ("NCHW", "NHWC") if has_maps else ("NCHW",)
    precisions = ("", "tf32") if peer == "cudnn" and dtype == "float32" and _products(op) else ("",)
    return [Torch(device, layout, precision) for precision in precisions for layout in layouts]


def _products(op: Operation) -> bool:
    """Whether TF32 makes a difference."""
    return op.name.startswith("conv") or op.name in ("gemm", "matmul", "linear")
