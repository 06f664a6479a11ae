"""Mutated models: each is refused with one `OnnxError`, or runs, in bounded time and memory.

What runs is called three times, and gives the same each time: anew, planned, and by the plan.

``python -m pycnn.testing.onnx_fuzz --first 0 --count 1000`` tries so many seeds in this process,
which limits its own memory; a seed that fails is printed with what it does.
"""

import argparse
import functools
import random
import resource
import signal
import sys
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.registry import table
from pycnn.onnx.package import package
from pycnn.onnx.session import load
from pycnn.onnx.simplify import RANDOM
from pycnn.testing import onnx_suite

#: Bytes of address space of the process, and seconds for one model.
MEMORY = 6 * 2**30
SECONDS = 60

#: Real models that onnx's wheel has: small ones of many kinds, and whole networks without weights.
SUBJECTS = (
    "test_Conv2d_groups", "test_ConvTranspose2d", "test_BatchNorm2d_eval", "test_MaxPool2d",
    "test_PReLU_2d", "test_Linear", "test_Softmax", "test_operator_conv", "test_operator_concat2",
    "test_operator_permute2", "test_operator_pad", "test_operator_view", "test_operator_repeat",
    "test_resize_upsample_scales_nearest", "test_loop11", "test_if", "test_scan9_sum",
    "test_lstm_defaults", "test_constantofshape_float_ones", "test_expand_dim_changed",
    "test_slice", "test_gather_elements_1", "test_einsum_batch_matmul",
    "test_rms_normalization_4d_axis1",
    "test_attention_4d", "test_nonmaxsuppression_two_batches", "test_dequantizelinear_blocked",
    "test_squeezenet", "test_shufflenet",
)  # fmt: skip


@functools.cache
def originals() -> list[bytes]:
    """The subjects as files."""
    cases = onnx_suite.cases()
    return [
        onnx_suite.model_of(cases[name]).SerializeToString() for name in SUBJECTS if name in cases
    ]


def mutated(seed: int) -> bytes:
    """A model with a few changes: of its bytes, or of what they mean."""
    rng = random.Random(seed)
    original = rng.choice(originals())
    return _of_bytes(rng, original) if seed % 2 else _of_fields(rng, original)


def _of_bytes(rng: random.Random, original: bytes) -> bytes:
    """Bytes changed, put in, taken out or repeated, or cut short."""
    data = bytearray(original)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(data) or 1)
        match rng.randrange(6):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                data[place : place + 1] = bytes([data[place] ^ 1 << rng.randrange(8)])
            case 2:
                del data[place : place + rng.choice((1, 1, 2, 4, 16))]
            case 3:
                data[place:place] = rng.randbytes(rng.choice((1, 1, 2, 4, 16)))
            case 4:
                data[place:place] = data[place : place + rng.choice((1, 4, 16, 64))]
            case _ if rng.random() < 0.3:
                del data[place:]
        if not data:
            break
    return bytes(data)


#: Numbers that are seldom meant: extents, axes, steps, types, versions.
_NUMBERS = (-(2**63), -(2**31), -7, -2, -1, 0, 1, 2, 3, 5, 17, 1000, 2**20, 2**31, 2**40, 2**62)


def _of_fields(rng: random.Random, original: bytes) -> bytes:
    """A valid message that means something else: other numbers, names and edges."""
    model = package().ModelProto()
    model.ParseFromString(original)
    for _ in range(rng.choice((1, 1, 2, 3))):
        graph = model.graph
        bodies = [a.g for n in graph.node for a in n.attribute if a.HasField("g")]
        graph = rng.choice([graph, *bodies])
        number = rng.choice(_NUMBERS)
        node = rng.choice(graph.node) if graph.node else None
        match rng.randrange(10):
            case 0 if node is not None and node.attribute:
                _change(rng, rng.choice(node.attribute), number)
            case 1 if node is not None and node.input:  # perhaps its own result: a cycle
                names = [name for other in graph.node for name in (*other.input, *other.output)]
                node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nothing"])
            case 2 if node is not None and node.output:
                names = [name for other in graph.node for name in (*other.input, *other.output)]
                node.output[rng.randrange(len(node.output))] = rng.choice([*names, ""])
            case 3 if node is not None:
                node.op_type = rng.choice([kind for _, kind in table()])
            case 4 if graph.initializer:
                tensor = rng.choice(graph.initializer)
                if tensor.dims and rng.random() < 0.7:
                    tensor.dims[rng.randrange(len(tensor.dims))] = number
                else:
                    tensor.data_type = rng.randrange(30)
            case 5 if graph.input:
                dims = rng.choice(graph.input).type.tensor_type.shape.dim
                if dims:
                    rng.choice(dims).dim_value = number
            case 6 if graph.input:
                rng.choice(graph.input).type.tensor_type.elem_type = rng.randrange(30)
            case 7 if len(graph.node) > 1:
                del graph.node[rng.randrange(len(graph.node))]
            case 8 if node is not None:
                graph.node.add().CopyFrom(node)
            case 9 if model.opset_import:
                model.opset_import[0].version = rng.choice((number, rng.randrange(1, 29))) % 2**62
    return bytes(model.SerializeToString())


def _change(rng: random.Random, attribute: Any, number: int) -> None:
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = number
    elif attribute.HasField("i"):
        attribute.i = number
    elif attribute.HasField("f"):
        attribute.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30))
    elif attribute.HasField("t") and attribute.t.dims:
        attribute.t.dims[0] = number
    elif attribute.HasField("s"):
        attribute.s = rng.choice((b"", b"\xff", b"SAME_UPPER", b"cubic", b"linear"))


def attempt(model: bytes) -> str:
    """What becomes of a model: ``refused``, ``ran`` or ``refused running``."""
    try:
        session = load(model)
    except OnnxError:
        return "refused"
    rng = np.random.default_rng(0)
    feeds: dict[str, Any] = {}
    for value in session.inputs:
        if value.kind != "tensor" or value.dtype is None or value.dtype.hasobject:
            return "not run"
        shape = [e if isinstance(e, int) else 2 for e in value.shape or (2, 3)]
        if np.prod([float(e) for e in shape]) > 1e7:
            return "not run"
        feeds[value.name] = (rng.random(shape) * 4).astype(value.dtype)
    try:
        first = session.run(None, feeds)
    except OnnxError:
        return "refused running"
    for _ in range(2):  # while memory is planned, and by the plan
        again = session.run(None, feeds)
        if not _same(first, again) and not _draws(session):
            raise AssertionError("another call has another result")
    return "ran"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if not isinstance(a, np.ndarray):
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _draws(session: Any) -> bool:
    return any(node.operator.type in RANDOM for node in session.graph.walk())


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main(arguments: list[str] | None = None) -> int:
    """Try seeds; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_long)
    originals()  # which takes seconds, once
    counts: dict[str, int] = {}
    failed = 0
    for seed in range(given.first, given.first + given.count):
        print(f"seed {seed}", file=sys.stderr, flush=True)  # the last line names what crashed
        signal.alarm(SECONDS)
        try:
            outcome = attempt(mutated(seed))
        except BaseException as error:
            outcome = "FAILED"
            failed += 1
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
        finally:
            signal.alarm(0)
        counts[outcome] = counts.get(outcome, 0) + 1
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
