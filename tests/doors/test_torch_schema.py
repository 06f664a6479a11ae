"""Schemas for PyTorch's dispatcher, by reading them: no PyTorch is needed.

What PyTorch refuses in one of them shuts `pycnn.torch` as a truth, and is seen only where it is.
"""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import pycnn
from pycnn.define.registry import OPERATIONS

FILE = Path(pycnn.__file__).parent / "torch" / "schema.py"
NONE = inspect.Parameter.empty

#: Of settings, by the type that the schema says.
TYPES = {"int": int, "float": (int, float), "bool": bool, "str": str, "Scalar": (int, float, bool)}


@pytest.fixture(scope="module")
def written():
    """The module, without its package, which asks for PyTorch."""
    spec = importlib.util.spec_from_file_location("schema", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fits(kind, value):
    if kind.endswith("?"):
        return value is None or fits(kind[:-1], value)
    if kind.endswith("[]"):
        return isinstance(value, list) and all(fits(kind[:-2], one) for one in value)
    truth = isinstance(value, bool) and kind not in ("bool", "Scalar")  # True is an int to Python
    return isinstance(value, TYPES[kind]) and not truth


@pytest.mark.parametrize("name", OPERATIONS)
def test_defaults_are_the_function_s_and_fit_their_types(written, name):
    op = OPERATIONS[name]
    signature = inspect.signature(getattr(pycnn, name)).parameters
    arguments = written.arguments_of(op)
    names = {a if isinstance(a, str) else a.name for a in arguments}
    assert names == {o.name for o in op.operands} | {*op.required, *op.defaults}
    for argument in arguments:
        if isinstance(argument, str):
            assert signature[argument].default in (NONE, None)
        elif argument.default is not NONE:
            assert argument.default == signature[argument.name].default
            encoded = argument.encoded_default
            assert fits(argument.kind, encoded)
            back = argument.decode(encoded)
            assert np.array_equal(back, argument.default)
        else:
            assert signature[argument.name].default is NONE


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_has_no_default_stands_first(written, name):
    op = OPERATIONS[name]
    declared = re.fullmatch(rf"{name}\((.*)\) -> Tensor(\[\])?", written.schema(op))[1]
    each = re.split(r", (?=(?:Tensor|Scalar|int|float|bool|str)[\[\]?]* \w+)", declared)
    assert len(each) == len(written.arguments_of(op))
    has = ["=" in one for one in each]
    assert has == sorted(has)
