"""The examples run, on few inputs, and say what to install where something is missing."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import pycnn
from pycnn.runtime.route import resolved

EXAMPLES = Path(__file__).parents[1] / "examples"
NEEDED = ("onnx", "qonnx", "mlxtend")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mnist_conv():
    return _load("mnist_conv")


@pytest.fixture
def with_data():
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; pip install -e '.[onnx,data]'")


def test_trained_digits_agree_on_every_backend(mnist_conv, with_data, capsys):
    assert mnist_conv.main(["--digits", "400", "--emulated", "20"]) == 0
    shown = capsys.readouterr().out
    assert "reference  auto" in shown


def test_all_digits_reach_98_percent_on_the_reference_backend(mnist_conv, with_data):
    images, labels = mnist_conv.load_digits()
    assert images.shape == (5000, 1, 28, 28)
    assert np.bincount(labels).tolist() == [500] * 10
    predicted, _ = mnist_conv.classify(mnist_conv.load_network(), images, "reference", "auto")
    assert np.mean(predicted == labels) >= 0.98


@pytest.mark.parametrize("bad", ["reference", "emulator"])
def test_a_wrong_prediction_fails_the_example(mnist_conv, with_data, monkeypatch, bad):
    if not {b.name: b.available for b in pycnn.backends()}[bad]:
        pytest.skip(f"{bad} is not available here")
    labels = mnist_conv.spread(20, mnist_conv.load_digits()[1])[0]

    def classify(network, images, backend, algo):
        return labels + (backend == bad), 1.0

    monkeypatch.setattr(mnist_conv, "classify", classify)
    assert mnist_conv.main(["--digits", "20", "--emulated", "20"]) == 1


def test_a_missing_package_is_named(mnist_conv, monkeypatch, capsys):
    monkeypatch.setattr(mnist_conv.importlib.util, "find_spec", lambda package: None)
    assert mnist_conv.main([]) == 2
    assert "install it with: pip install " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-3", "5001", "x"])
def test_a_bad_number_of_digits_is_refused(mnist_conv, text, capsys):
    with pytest.raises(SystemExit):
        mnist_conv.main(["--digits", text])
    assert "1 to 5000" in capsys.readouterr().err


def test_the_first_kernel_is_right_and_its_mistake_is_reported(capsys):
    assert _load("first_convolution").main() == 0
    shown = capsys.readouterr().out
    times = {"source": 150, "ptx": 113}[resolved()]  # NVRTC puts off loads for the padding
    assert f"right; 188,928 loads move {times} times" in shown
    assert "OutOfBoundsError: kernel.cu:12" in shown
