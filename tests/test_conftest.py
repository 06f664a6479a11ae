"""What a test on a GPU leaves behind: its errors are its own, and a lost GPU ends the process."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(scope="module")
def conftest() -> ModuleType:
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("conftest_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


class Cuda:
    """CuPy whose device fails so many times when it is waited for, and holds so many bytes."""

    def __init__(self, failures: int, held: int = 0) -> None:
        self.failures, self.held, self.freed = failures, held, False
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(CUDARuntimeError=OSError, deviceSynchronize=self._wait)
        )

    def _wait(self) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("an illegal memory access was encountered")

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(total_bytes=lambda: self.held, free_all_blocks=self._free)

    def _free(self) -> None:
        self.freed = True


Settle = Any


@pytest.fixture
def settle(conftest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Settle:
    def after(cuda: Cuda, **config: Any) -> None:
        monkeypatch.setitem(sys.modules, "cupy", cuda)
        conftest._settle(SimpleNamespace(**config))

    return after


@pytest.mark.parametrize(("held", "freed"), [(2**20, False), (2**34, True)])
def test_gigabytes_go_back(settle: Settle, held: int, freed: bool) -> None:
    cuda = Cuda(0, held)
    settle(cuda)
    assert cuda.freed == freed


def test_an_error_that_passes_is_the_test_s(settle: Settle) -> None:
    with pytest.raises(OSError, match="illegal memory access"):
        settle(Cuda(1))


def test_a_lost_gpu_ends_the_run_or_the_worker(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pytest.exit.Exception, match="lost to this process: an illegal memory"):
        settle(Cuda(2))

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit) as ended:
        settle(Cuda(2), workerinput={})
    assert ended.value.code == 3
