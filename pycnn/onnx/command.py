"""``pycnn run``: an ONNX model on an image or arrays, held against ONNX Runtime if wanted."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.data.image import read_image
from pycnn.data.pixels import normalise
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.graph import Value
from pycnn.onnx.session import Session, load
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import read_npy, require_file
from pycnn.runtime.options import add_force, check_output

#: Largest difference to ONNX Runtime, of the largest magnitude of an output.
ALLOWED = 1e-4


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("run", help="an ONNX model on an image, or on arrays in files")
    parser.add_argument("model", metavar="MODEL.onnx", type=Path)
    parser.add_argument("--input", metavar="[NAME=]FILE", action="append", default=[],
                        help="an image, or a .npy file; once for each input")  # fmt: skip
    parser.add_argument("--mean", type=_floats, default=(0.0,), metavar="R,G,B",
                        help="taken off an image's pixels, which go from 0 to 1")  # fmt: skip
    parser.add_argument("--std", type=_floats, default=(1.0,), metavar="R,G,B",
                        help="what they are divided by then")  # fmt: skip
    parser.add_argument("--bgr", action="store_true", help="blue first")
    parser.add_argument("--against", choices=("onnxruntime",), help="compare results and time")
    parser.add_argument("--profile", action="store_true", help="what every node took")
    parser.add_argument("--explain", action="store_true", help="what became of the model")
    parser.add_argument("--output", metavar="FILE.npy", type=Path, help="takes the first output")
    add_force(parser)
    parser.set_defaults(run=_run)


def _floats(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}; allowed: numbers such as 0.5,0.5,0.5"
        ) from None


def _run(arguments: argparse.Namespace) -> int:
    require_file(arguments.model, "model")
    if arguments.output is not None:
        check_output(arguments.output, "--output", (".npy",), force=arguments.force)
    try:
        session = load(arguments.model)
    except OnnxError as error:
        raise OnnxError(f"{arguments.model}: {error}") from error
    if arguments.explain:
        print(session.explain())
    feeds = _feeds(session, arguments)
    outputs, seconds = _timed(lambda: session.run(None, feeds))
    for value, array in zip(session.outputs, outputs, strict=True):
        print(f"{value.name}: {_summary(array)}")
    print(f"pycnn: {seconds * 1e3:.1f} ms")
    if arguments.output is not None:
        np.save(arguments.output, outputs[0])
    if arguments.profile:
        for record in session.profile(*(feeds[value.name] for value in session.inputs)):
            print(record)
    if arguments.against is None:
        return 0
    return _compare(arguments.model, session, feeds, outputs)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a second call gives, and how long it took: the first one plans."""
    call()
    begin = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begin


def _feeds(session: Session, arguments: argparse.Namespace) -> dict[str, Any]:
    values = {value.name: value for value in session.inputs}
    left = list(values)
    feeds: dict[str, Any] = {}
    for text in arguments.input:
        name, equals, file = text.partition("=")
        if not equals:
            if not left:
                raise OnnxError(f"--input {text}: the model has {len(values)} inputs")
            name, file = left[0], text
        if name not in left:
            raise OnnxError(f"--input {text}; allowed: once for each of {', '.join(values)}")
        left.remove(name)
        feeds[name] = _array(values[name], Path(file), arguments)
    if left:
        raise OnnxError(f"no --input for {', '.join(str(values[name]) for name in left)}")
    return feeds


def _array(value: Value, path: Path, arguments: argparse.Namespace) -> np.ndarray:
    """The array of a file, or the image, with an axis for the batch in front."""
    require_file(path, "input")
    if 0 in arguments.std:
        raise OnnxError(f"--std {','.join(map(str, arguments.std))}; allowed: no zeros")
    if path.suffix == ".npy":
        if arguments.bgr or any(arguments.mean) or set(arguments.std) != {1.0}:
            raise OnnxError(f"--mean, --std and --bgr are for images; {path} is an array")
        return read_npy(path)
    shape = value.shape or ()
    if len(shape) != 4 or shape[1] not in (1, 3) or value.dtype is None:
        raise OnnxError(f"{path} is no .npy file, and {value} takes no image (N, 1 or 3, H, W)")
    size = (shape[2], shape[3]) if isinstance(shape[2], int) and isinstance(shape[3], int) else None
    pixels = read_image(path, size=size, channels=int(shape[1]))
    mean, std = (_for_channels(v, len(pixels)) for v in (arguments.mean, arguments.std))
    image = normalise(pixels, mean, std)
    return np.ascontiguousarray(image[::-1] if arguments.bgr else image)[None].astype(value.dtype)


def _for_channels(values: Sequence[float], channels: int) -> Sequence[float]:
    return [values[0]] * channels if len(values) == 1 else values


def _summary(array: Any) -> str:
    """Shape, and the five largest elements of what may be scores."""
    if not isinstance(array, np.ndarray):
        return f"{len(array)} arrays"
    text = f"{array.dtype} {array.shape}"
    if array.dtype.kind != "f" or not 1 < array.size <= 10**5 or array.shape[0] != 1:
        return text
    flat = array.reshape(-1)
    best = np.argsort(-flat, kind="stable")[:5]
    return f"{text}, largest {', '.join(f'{i}: {flat[i]:.4g}' for i in best)}"


def _compare(path: Path, session: Session, feeds: dict[str, Any], outputs: list[Any]) -> int:
    """0 if ONNX Runtime says the same, else 1."""
    runtime = import_extra("onnxruntime", "bench", "--against onnxruntime")
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3
    theirs = runtime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.outputs]
    expected, seconds = _timed(lambda: theirs.run(names, feeds))
    wrong = 0
    for name, ours, right in zip(names, outputs, expected, strict=True):
        if not isinstance(ours, np.ndarray):
            print(f"{name}: {_summary(ours)}; a sequence is not compared")
            continue
        if ours.shape != right.shape or ours.dtype != right.dtype:
            print(f"{name}: {ours.dtype} {ours.shape}, onnxruntime {right.dtype} {right.shape}")
            wrong = 1
            continue
        error = _error(ours, right)
        wrong |= not error <= ALLOWED
        print(f"{name}: differs by {error:.2g} of the largest value; allowed: {ALLOWED:g}")
    print(f"onnxruntime {runtime.__version__}: {seconds * 1e3:.1f} ms")
    return wrong


def _error(ours: np.ndarray, right: np.ndarray) -> float:
    """Largest difference, of the largest finite magnitude; NaN and infinities differ or do not."""
    ours, right = (a.astype(np.float64).reshape(-1) for a in (ours, right))
    special = ~np.isfinite(right)
    if not np.array_equal(ours[special], right[special], equal_nan=True):
        return float("inf")
    largest = float(np.abs(right[~special]).max(initial=0)) or 1.0
    return float(np.abs(ours[~special] - right[~special]).max(initial=0)) / largest
