"""pytest-benchmark over the layers of a suite: options, and a benchmark that waits for the device.

pytest benchmarks --suite resnet50 --op conv2d --direction forward
pytest benchmarks --suite standard --op all
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pycnn
from pycnn.bench import expected, kernelbench
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import DIRECTIONS, Operation
from pycnn.bench.options import STANDARD
from pycnn.bench.peers import PEERS, missing, of_peer
from pycnn.bench.runners import Runner, of_pycnn
from pycnn.bench.suites import SUITES, Layer
from pycnn.dtypes import FLOATING

#: What lies beside and below is no module of tests; importing it may need PyTorch or Triton.
_HERE = Path(__file__).parent
collect_ignore = [
    str(path.relative_to(_HERE))
    for path in _HERE.rglob("*.py")
    if not path.name.startswith("test_")
]


def pytest_addoption(parser: pytest.Parser) -> None:
    suites = (*SUITES, STANDARD, kernelbench.NAME)
    parser.addoption("--suite", choices=suites, default="lenet5")
    parser.addoption("--op", choices=(*OPERATIONS, "all"), default="conv2d")
    parser.addoption("--direction", choices=DIRECTIONS, default="forward")
    parser.addoption("--dtype", choices=FLOATING, default="float32")
    parser.addoption("--against", choices=PEERS, action="append", default=[])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark for each layer of the suite and each runner."""
    option = metafunc.config.getoption
    direction, dtype = option("direction"), option("dtype")
    present = [b.name for b in pycnn.backends() if b.available and b.name != "emulator"]
    cases, names = [], []
    for op in OPERATIONS.values() if option("op") == "all" else [OPERATIONS[option("op")]]:
        for layer in layers(option("suite"), op, direction, dtype):
            ours = [c for name in present for c in of_pycnn(name, op, layer.case, direction, dtype)]
            peers = [c for peer in option("against") for c in of_peer(peer, op, dtype)]
            for runner in ours + peers:
                cases.append((op, layer, direction, dtype, runner))
                names.append(f"{op.name}-{layer.case}-{runner.backend}-{runner.algorithm}")
    metafunc.parametrize(("op", "layer", "direction", "dtype", "runner"), cases, ids=names)


def layers(suite: str, op: Operation, direction: str, dtype: str) -> list[Layer]:
    """Those of an operation in a suite, as far as it has the direction and the dtype."""
    if direction not in op.directions or dtype not in op.dtypes_of(direction):
        return []
    if suite == STANDARD:
        return [
            Layer(name, case)
            for name, case in op.standard_layers()
            if direction in op.directions_of(case)
        ]
    return (
        kernelbench.layers(op.name) if suite == kernelbench.NAME else SUITES[suite].layers(op.name)
    )


@pytest.fixture
def device_benchmark(benchmark, runner: Runner) -> Iterator[Callable]:
    """`benchmark` whose calls end when the device has done its work."""
    peer = runner.backend.removesuffix("-tf32")
    if peer in PEERS and missing(peer):
        pytest.skip(missing(peer))
    wait = _synchroniser(runner)

    def timed(call: Callable[[], object]) -> None:
        def whole() -> None:
            call()
            wait()

        with runner.active():
            benchmark(whole)

    return timed


def _synchroniser(runner: Runner) -> Callable[[], object]:
    if runner.backend == "cuda":
        import cupy

        return cupy.cuda.get_current_stream().synchronize
    if runner.device == "cuda":
        import torch

        return torch.cuda.synchronize
    return lambda: None


@pytest.fixture
def rng() -> np.random.Generator:
    return expected.rng()
