"""What is installed: from a wheel, from an sdist, and in place."""

import ast
import graphlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import pycnn.__main__
from pycnn.runtime import probe

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def sources(folder: str) -> set[PurePosixPath]:
    """Files of a folder of the checkout, relative to it; none that Python or a build wrote."""
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".so")
    named = {PurePosixPath(path.relative_to(ROOT / folder).as_posix()) for path in files}
    return {path for path in named if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source archive, built by the backend that pip uses.

    From a copy: the backend writes beside the sources, and a killed run would leave that there.
    """
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "checkout"
    built = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", ".benchmarks", "build", "__pycache__", "*.egg-info", "*.so"
    )
    shutil.copytree(ROOT, copy, ignore=built)
    program = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tar.gz"))


@pytest.mark.slow
def test_the_sdist_holds_all_that_a_build_and_a_reader_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(*PurePosixPath(n).parts[1:]) for n in archive.getnames()}
    for folder in ("kernels", "emulator", "cpu", "pycnn"):
        expected = {PurePosixPath(folder) / path for path in sources(folder)}
        assert expected <= names, f"missing: {sorted(map(str, expected - names))}"
    for file in ("setup.py", "pyproject.toml", "CMakeLists.txt", "Makefile", "LICENSE"):
        assert PurePosixPath(file) in names


def wheel_of(sdist: Path, folder: Path) -> Path:
    """A wheel made from the sdist, so that whatever the sdist lacks shows.

    With the extensions that are here, for which the build has no more to do than to pack them:
    to compile them again, once they are installed, takes a minute.
    """
    with tarfile.open(sdist) as archive:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from 3.11.4 on
        archive.extractall(folder, **safe)  # type: ignore[arg-type]
    (root,) = (path for path in folder.iterdir() if path.is_dir())
    for built in (ROOT / "pycnn").rglob("*.so"):
        packed = root / "packed" / built.relative_to(ROOT)
        packed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, packed)  # newer than its sources
    with (root / "setup.cfg").open("a") as settings:
        settings.write("\n[build]\nbuild_lib = packed\n")
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps",
               "--quiet", "--wheel-dir", str(folder), str(root)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_a_wheel_holds_and_finds_its_own_kernels(sdist: Path, tmp_path: Path) -> None:
    """Installed, from another folder, with the checkout out of reach."""
    wheel = wheel_of(sdist, tmp_path)
    names = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    kernels = {PurePosixPath("pycnn/kernels") / path for path in sources("kernels")}
    headers = {PurePosixPath("pycnn/emulator/include") / p for p in sources("emulator/include")}
    assert kernels <= names, f"missing: {sorted(map(str, kernels - names))}"
    assert headers <= names, f"missing: {sorted(map(str, headers - names))}"
    page = {PurePosixPath("pycnn/live/page") / path for path in sources("pycnn/live/page")}
    assert page <= names, f"missing: {sorted(map(str, page - names))}"
    assert PurePosixPath("pycnn/py.typed") in names
    assert {name.parts[0] for name in names} == {"pycnn", f"pycnn-{pycnn.__version__}.dist-info"}
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet",
               "--target", str(target), str(wheel)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import pycnn
from pycnn.runtime import catalogue, sources
assert pycnn.__file__.startswith(sys.argv[1]), pycnn.__file__
assert str(sources.kernel_dir()).startswith(sys.argv[1]), sources.kernel_dir()
assert str(sources.emulator_include_dir()).startswith(sys.argv[1])
print(sum(len(kernel.entries) for kernel in catalogue.load()))
print({status.name: status.available for status in pycnn.backends()}["emulator"])
"""
    command = [sys.executable, "-c", program, str(target)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entries, emulator = done.stdout.split()
    defined = sum(path.read_text().count('extern "C" __global__')
                  for path in (ROOT / "kernels").rglob("*.cu"))  # fmt: skip
    assert int(entries) == defined
    available = {status.name: status.available for status in pycnn.backends()}
    assert emulator == str(available["emulator"])


@pytest.mark.slow
def test_without_a_compiler_the_build_succeeds_and_says_so(sdist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps",
               "--verbose", "--wheel-dir", str(tmp_path), str(sdist)]  # fmt: skip
    environment = {**os.environ, "CC": "no-such-compiler", "CXX": "no-such-compiler"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "pycnn: built WITHOUT the emulator" in done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "_runtime" in name and name.endswith(".so")]
    assert "pycnn/__init__.py" in names


def test_the_version_is_the_same_everywhere() -> None:
    try:
        installed = importlib.metadata.version("pycnn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pycnn is on the path, but not installed")
    assert installed == pycnn.__version__


def test_numpy_is_the_only_hard_dependency() -> None:
    assert [requirement.split(">")[0] for requirement in PROJECT["dependencies"]] == ["numpy"]


def test_importing_pycnn_imports_no_optional_package() -> None:
    optional = {"cupy", "cuda", "torch", "onnx", "onnxruntime", "rich", "matplotlib", "scipy",
                "mlxtend", "qonnx", "pytest", "pandas", "sklearn"}  # fmt: skip
    program = "import sys, pycnn; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert optional & set(done.stdout.split()) == set()


def test_every_module_parses_on_the_oldest_python_supported() -> None:
    oldest = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    for path in (ROOT / "pycnn").rglob("*.py"):
        ast.parse(path.read_text(), path.name, feature_version=oldest)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not in functions or for types; `pycnn` itself, which hands names on, is left out."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "pycnn").rglob("*.py")
    }
    del modules["pycnn"]
    needs: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for each in node.names:
                    whole = f"{node.module}.{each.name}"
                    needs[name].add(whole if whole in modules else node.module)
        needs[name] -= {name}  # a package of its parts
    graphlib.TopologicalSorter(needs).prepare()  # raises CycleError, which names them


def test_an_extra_named_in_an_error_exists() -> None:
    extras = set(PROJECT["optional-dependencies"])
    named = set()
    for path in (ROOT / "pycnn").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "import_extra":
                named |= {k.value.value for k in call.keywords if k.arg == "extra"}
                named |= {a.value for a in call.args[1:2] if isinstance(a, ast.Constant)}
    assert named
    assert named | {probe.extra(12), probe.extra(13)} <= extras


@pytest.mark.parametrize(("rank", "said"), [("0", "pycnn: interrupted\n"), ("1", "")])
def test_ctrl_c_while_commands_are_imported(monkeypatch, capsys, rank, said) -> None:
    """One line, of the first process, and no traceback of each."""

    class Interrupted:
        def find_spec(self, name, path, target=None):
            if name == "pycnn.cli":
                raise KeyboardInterrupt

    monkeypatch.setenv("PMI_RANK", rank)
    monkeypatch.delitem(sys.modules, "pycnn.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert pycnn.__main__.main() == 130
    assert capsys.readouterr().err == said
