"""Which route the emulator's own tests take.

Those of `BOTH` run by the source and by PTX. Those of `SOURCE` are about what only the source has:
the host's compiler and its cache, its names in a report, accesses that NVRTC takes out, arguments
checked against a signature. What is PTX's own is in ``ptx/``.
"""

import pytest

BOTH = {"test_planted_bugs", "test_random_kernels", "test_tensor_cores"}
SOURCE = {
    "test_hangs", "test_odd_compilers", "test_ordinary_cuda", "test_process_safety",
    "test_sound_checker", "test_what_is_compiled",
}  # fmt: skip


def pytest_generate_tests(metafunc):
    if metafunc.module.__name__.rpartition(".")[2] in BOTH:
        metafunc.fixturenames.append("route")
        metafunc.parametrize("route", ["source", "ptx"], indirect=True)


@pytest.fixture
def route(request, monkeypatch):
    if request.param == "ptx":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed (extra emulator)")
    monkeypatch.setenv("PYCNN_EMULATOR_VIA", request.param)
    return request.param


@pytest.fixture(autouse=True)
def by_the_source(request, monkeypatch):
    if request.module.__name__.rpartition(".")[2] in SOURCE:
        monkeypatch.setenv("PYCNN_EMULATOR_VIA", "source")
