"""The example of a convolution of ours in a jitted function of JAX."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "jax_callback.py"


def test_value_and_gradients_are_those_of_jax(capsys):
    pytest.importorskip("jax", reason="JAX is not installed (pip install jax)")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("value and 2 gradients within")


def test_without_jax_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert ended.value.code == 2
    assert "pip install jax" in capsys.readouterr().err
