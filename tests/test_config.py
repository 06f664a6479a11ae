"""Environment variables: defaults, conversion, and errors that say what is allowed."""

import re
from pathlib import Path

import pytest

from pycnn import cli, config


def test_a_default_stands_for_an_unset_and_for_an_empty_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYCNN_BACKEND", raising=False)
    assert config.get("PYCNN_BACKEND") == "reference"
    monkeypatch.setenv("PYCNN_BACKEND", "")
    assert config.get("PYCNN_BACKEND") == "reference"


@pytest.mark.parametrize("variable", config.VARIABLES, ids=lambda v: v.name)
def test_every_default_is_allowed(
    variable: config.Variable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable.name, raising=False)
    config.get(variable.name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PYCNN_BACKEND", "emulator", "emulator"),
        ("PYCNN_CACHE_DIR", "/somewhere/else", Path("/somewhere/else")),
        ("PYCNN_CHECKED", "1", True),
        ("PYCNN_CXX", "ccache g++-12", "ccache g++-12"),
        ("PYCNN_EMULATOR_THREADS", "3", 3),
        ("PYCNN_SCHEDULE", "random:42", "random:42"),
        ("PYCNN_TEST_BACKENDS", "cuda,checked", ("cuda", "checked")),
        ("PYCNN_WORKSPACE_LIMIT", "1000", 1000),
        ("PYCNN_WORKSPACE_LIMIT", "3K", 3072),
        ("PYCNN_WORKSPACE_LIMIT", "2M", 2097152),
        ("PYCNN_WORKSPACE_LIMIT", "1G", 1073741824),
    ],
)
def test_values_are_converted(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    assert config.get(name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PYCNN_BACKEND", "cuda"),
        ("PYCNN_BACKEND", "Reference"),
        ("PYCNN_CACHE_DIR", "relative/folder"),
        ("PYCNN_CHECKED", "yes"),
        ("PYCNN_CXX", "  "),
        ("PYCNN_EMULATOR_THREADS", "-1"),
        ("PYCNN_EMULATOR_THREADS", "two"),
        ("PYCNN_EMULATOR_THREADS", "1025"),
        ("PYCNN_EMULATOR_THREADS", "9" * 5000),
        ("PYCNN_CPU_THREADS", "99999999"),
        ("PYCNN_SCHEDULE", "random"),
        ("PYCNN_TEST_BACKENDS", "cuda,"),
        ("PYCNN_VERBOSE", "2"),
        ("PYCNN_WORKSPACE_LIMIT", "1.5G"),
        ("PYCNN_WORKSPACE_LIMIT", "4T"),
    ],
)
def test_a_value_not_allowed_names_variable_value_and_what_is(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match="allowed is") as error:
        config.get(name)
    variable = next(v for v in config.VARIABLES if v.name == name)
    assert str(error.value) == f"{name}={text!r}: allowed is {variable.allowed}"


@pytest.mark.parametrize("home", [None, "relative"])
def test_without_a_home_the_cache_says_what_to_set(
    home: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that runs under a number instead of a user."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("PYCNN_CACHE_DIR", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    config._parse.cache_clear()
    with pytest.raises(ValueError, match=r"PYCNN_CACHE_DIR='~/.cache/pycnn'.*an absolute path"):
        config.get("PYCNN_CACHE_DIR")
    assert cli.main(["info"]) == 0
    assert "cannot be used: PYCNN_CACHE_DIR=" in capsys.readouterr().out
    assert cli.main(["cache"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYCNN_CACHEDIR", "/tmp")
    monkeypatch.setenv("PYCNN_CACHE_DIR", "/tmp")
    assert "PYCNN_CACHEDIR" in config.unknown()
    assert "PYCNN_CACHE_DIR" not in config.unknown()


def test_every_variable_that_the_sources_read_is_in_the_table() -> None:
    root = Path(config.__file__).resolve().parent
    read = set()
    for path in root.rglob("*.py"):
        read |= set(
            re.findall(r'(?:config\.get|getenv|environ\.get)\("(PYCNN_\w+)"', path.read_text())
        )
    assert read <= {v.name for v in config.VARIABLES}
    assert read, "the pattern finds no variable at all"
