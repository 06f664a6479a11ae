"""The example of a ResNet-18 whose layers are swapped."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "torch_resnet.py"


def test_gradients_are_pytorchs(monkeypatch, capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--size", "32", "--width", "4"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("62 gradients")


def test_without_pytorch_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert ended.value.code == 2
    assert "[torch]" in capsys.readouterr().err


def test_importing_pycnn_imports_neither_torch_nor_cupy():
    import subprocess

    code = "import pycnn, sys; print({'torch', 'cupy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_module_without_pytorch_names_the_extra(monkeypatch):
    from pycnn.runtime.extras import MissingExtra

    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [m for m in sys.modules if m.startswith("pycnn.torch")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra, match=r"pycnn.torch needs torch, .*\[torch\]"):
        import pycnn.torch  # noqa: F401
