"""What is said of a GPU's libraries, on a stand-in for CuPy: that one line names one extra."""

import ctypes
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pycnn.runtime import extras, info, nvrtc, probe
from pycnn.runtime.extras import MissingExtra


class Libraries:
    """Like the module cupy.cuda: its libraries are loaded when they are asked for."""

    def __init__(self, runtime: Any, missing: tuple[str, ...]) -> None:
        self.runtime, self.missing = runtime, missing
        self.Device = lambda index: SimpleNamespace(compute_capability="90")

    def __getattr__(self, name: str) -> str:
        if name in self.missing:
            raise ImportError(f"lib{name}.so.12: cannot open shared object file")
        if name in ("cublas", "cufft"):
            return name
        raise AttributeError(name)


class CuPy(SimpleNamespace):
    """The part of CuPy that is asked."""


Machine = Callable[..., CuPy]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with these versions (as CUDA numbers them), libraries and GPUs."""

    def make(
        cupy: str = "14.2.0", built: int = 13020, driver: int = 13010, compiler: str = "13.5",
        missing: tuple[str, ...] = (), count: int = 1,
    ) -> CuPy:  # fmt: skip
        runtime = SimpleNamespace(
            runtimeGetVersion=lambda: built,
            driverGetVersion=lambda: driver,
            getDeviceCount=lambda: count,
            getDeviceProperties=lambda index: {"name": b"Imaginary GPU"},
            CUDARuntimeError=RuntimeError,
        )
        module = CuPy(__version__=cupy, cuda=Libraries(runtime, missing))
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(nvrtc, "version", lambda: compiler)
        monkeypatch.setattr(nvrtc, "supported_archs", lambda: ("sm_75", "sm_90a", "sm_120"))
        return module

    return make


def test_what_is_here(machine: Machine) -> None:
    machine(count=2)
    assert probe.probe() == (
        True, "Imaginary GPU and 1 more, driver for CUDA 13.1, CuPy 14.2.0, NVRTC 13.5",
    )  # fmt: skip


def test_a_newer_driver_runs_an_older_generation(machine: Machine) -> None:
    machine(built=12090, driver=13010, compiler="12.9")
    assert probe.probe()[0]


@pytest.mark.parametrize(
    ("how", "reason", "extra"),
    [
        ({"driver": 0}, "finds no driver of an NVIDIA GPU", None),
        ({"driver": 11080}, r"for CUDA 11\.8; a GPU needs one for CUDA 12 or later", None),
        (
            {"driver": 12040},
            r"CuPy 14\.2\.0 is built for CUDA 13, the driver is for CUDA 12\.4; uninstall "
            "cupy-cuda13x",
            "cuda12",
        ),
        ({"compiler": "12.9"}, r"built for CUDA 13, but NVRTC is 12\.9", "cuda13"),
        (
            {"built": 12090, "driver": 12090},
            r"built for CUDA 12, but NVRTC is 13\.5",
            "cuda12",
        ),
        ({"count": 0}, "finds no GPU", None),
    ],
)
def test_generations_that_do_not_fit(
    machine: Machine, how: dict[str, Any], reason: str, extra: str | None
) -> None:
    machine(**how)
    available, detail = probe.probe()
    assert not available
    assert re.search(reason, detail)
    assert "\n" not in detail
    assert re.findall(r"\[(cuda\d+)\]", detail) == ([extra] if extra else [])


def test_a_driver_that_fails_is_quoted(machine: Machine) -> None:
    def fails() -> int:
        raise RuntimeError("cudaErrorSystemNotReady")

    machine().cuda.runtime.getDeviceCount = fails
    assert probe.probe() == (
        False, "CuPy 14.2.0 finds no usable GPU: cudaErrorSystemNotReady",
    )  # fmt: skip


def test_a_compiler_too_old_for_the_gpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()
    monkeypatch.setattr(nvrtc, "supported_archs", lambda: ("sm_50", "sm_89"))
    assert probe.probe() == (
        False, "NVRTC 13.5 compiles for sm_50 to sm_89, not Imaginary GPU (sm_90a)",
    )  # fmt: skip


@pytest.mark.parametrize("generation", [12, 13])
def test_without_nvrtc_the_extra_is_that_of_cupy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    def absent() -> str:
        raise MissingExtra("install pycnn[compile]") from RuntimeError("no libnvrtc\nsearched ...")

    machine(built=generation * 1000)
    monkeypatch.setattr(nvrtc, "version", absent)
    available, detail = probe.probe()
    assert not available
    assert detail == (
        f"compiling for a GPU needs NVRTC for CUDA {generation} (no libnvrtc); "
        f"install it with: {extras.install(f'cuda{generation}')}"
    )


@pytest.mark.parametrize(("driver", "extra"), [(0, 13), (12040, 12), (13010, 13)])
def test_without_cupy_the_extra_is_that_of_the_driver(
    monkeypatch: pytest.MonkeyPatch, driver: int, extra: int
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(probe, "driver_version", lambda: driver)
    available, detail = probe.probe()
    assert not available
    assert re.findall(r"\[(cuda\d+)\]", detail) == [f"cuda{extra}"]


def test_what_a_usable_cupy_lacks_is_told_with_the_extra(machine: Machine) -> None:
    cupy = machine(missing=("cufft",))
    assert list(probe.missing_parts(cupy)) == ["cufft"]
    available, detail = probe.probe()
    assert available
    assert detail.endswith(
        "; without cufft: the algorithm fft of a convolution needs it; "
        f"install it with: {extras.install('cuda13')}"
    )


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"cupy": "13.6.0"}, r"CuPy has it from 14 on, this is 13\.6\.0"),
        ({"numpy": "2.1.1"}, r"CuPy has it from NumPy 2\.1\.2 on, this is 2\.1\.1"),
        ({"ml_dtypes": None}, "ml_dtypes is not installed"),
    ],
)
def test_bfloat16_needs_three_packages(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], reason: str
) -> None:
    cupy = machine(cupy=how.get("cupy", "14.0.0"))
    monkeypatch.setattr(probe.np, "__version__", how.get("numpy", "2.1.2"))
    if "ml_dtypes" in how:
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    else:
        monkeypatch.setattr(probe.importlib.util, "find_spec", lambda name: name)
    assert re.match(reason, probe.missing_parts(cupy)["bfloat16"])


def test_the_real_cupy_has_what_is_asked_of_it() -> None:
    """Where its wheel is installed, with a GPU or without."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra cuda13)")
    assert set(probe.missing_parts(cupy)) <= set(probe.PARTS)
    available, detail = probe.probe()
    assert available or detail
    runtime = cupy.cuda.runtime
    assert runtime.driverGetVersion() == probe.driver_version()
    assert runtime.runtimeGetVersion() // 1000 in (12, 13)
    assert issubclass(runtime.CUDARuntimeError, Exception)
    for name in ("getDeviceCount", "getDeviceProperties"):
        assert callable(getattr(runtime, name))


def test_the_driver_is_asked_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    def library(name: str) -> SimpleNamespace:
        assert name == "libcuda.so.1"

        def ask(number: Any) -> int:
            number._obj.value = 13010
            return 0

        return SimpleNamespace(cuDriverGetVersion=ask)

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert probe.driver_version() == 13010
    assert probe.text(13010) == "13.1"


def test_info_tells_of_the_driver_and_of_what_cupy_lacks(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(missing=("cublas",))
    monkeypatch.setattr(probe, "driver_version", lambda: 13010)
    found = info.collect()
    assert found["versions"]["driver"] == "for CUDA 13.1"
    assert found["versions"]["cufft"] == "yes"
    assert found["versions"]["cublas"] is None
    assert "the ceilings of the bench" in found["missing"]["cublas"]


@pytest.mark.parametrize("generation", [12, 13])
def test_the_extra_of_a_generation_asks_for_no_other(generation: int) -> None:
    """CuPy with its libraries and the bindings of the compiler, all of one generation."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = extras[f"cuda{generation}"]
    assert f"cupy-cuda{generation}x[ctk]>={probe.BF16_CUPY}" in asked
    assert f"cuda-bindings=={generation}.*" in asked
    assert f"numpy>={probe.BF16_NUMPY}" in asked
    for name in ("compile", "test", "dev"):  # installable beside either
        assert not [r for r in extras[name] if re.search(r"==1\d\.|cu1\d|cuda1\d", r)]


def test_the_packages_of_this_machine_fit_each_other() -> None:
    """NVRTC by cuda.bindings is of the generation of the bindings."""
    try:
        bindings = importlib.metadata.version("cuda-bindings")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("cuda-bindings is not installed (extra compile)")
    assert nvrtc.version().partition(".")[0] == bindings.partition(".")[0]
