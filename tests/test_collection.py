"""The suite needs no more than `make gpu` does, and tells on request of backends alone."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What the Makefile names, and what pytest itself needs. All else is taken away.
ALLOWED = {
    "numpy", "cupy", "cupy_backends", "cupyx", "cuda", "ml_dtypes",
    "_pytest", "pytest", "pluggy", "iniconfig", "packaging", "pygments", "py",
    "pycnn",
}  # fmt: skip

#: An entry None makes an import fail, and `importlib.util.find_spec` find nothing.
PROGRAM = """
import sys
sys.modules |= dict.fromkeys(sys.argv[1].split(","))
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def collect(*options: str, blocked: set[str], **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, ",".join(blocked), "--collect-only", "-q",
               "-p", "no:cacheprovider", *options]  # fmt: skip
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_everything_is_collected_with_the_packages_of_the_makefile_alone() -> None:
    installed = {name.partition(".")[0] for name in importlib.metadata.packages_distributions()}
    blocked = {name for name in installed if name.isidentifier()} - ALLOWED
    blocked -= {"setuptools", "pkg_resources", "pip"} | set(sys.stdlib_module_names)
    done = collect("tests", blocked=blocked)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+)/?\d* tests collected", done.stdout)[1]) > 10000  # type: ignore[index]


def test_only_backends_leaves_out_what_runs_on_no_backend_or_another() -> None:
    # Tests that run on no backend, and a list of backends that is not the fixture's.
    files = ("tests/ops/test_conv_arguments.py", "tests/ops/test_conv_gemm.py")
    found = {}
    for options in ((), ("--only-backends",)):
        done = collect(*files, *options, blocked=set(), PYCNN_TEST_BACKENDS="reference,emulator")
        assert done.returncode in (0, 5), done.stdout
        found[options] = [line for line in done.stdout.splitlines() if "::" in line]
    every, only = found.values()
    assert not [name for name in every if "checked" in name or "cuda" in name]
    assert 0 < len(only) < len(every)
    assert all(re.search(r"[\[-](reference|emulator)\b", name) for name in only)


def test_a_suite_is_collected_without_what_other_scripts_need() -> None:
    """`pytest benchmarks --suite ...`: scripts in folders below want Triton or PyTorch."""
    pytest.importorskip("pytest_benchmark")
    options = ("-p", "pytest_benchmark.plugin", "benchmarks", "--suite", "standard", "--op", "relu")
    done = collect(*options, blocked={"torch", "triton"})
    assert done.returncode == 0, done.stdout[-3000:]
    assert "ERROR" not in done.stdout
