"""What a public function is: a signature that Python binds, and nothing that tests need."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import numpy as np
import pytest

import pycnn
from pycnn.define.operation import Operation
from pycnn.define.public import operation
from pycnn.define.registry import OPERATIONS
from pycnn.define.softmax import SOFTMAX
from pycnn.plan.conv import ALGORITHMS
from pycnn.plan.conv_algorithm import Algorithm

X = np.arange(6.0).reshape(2, 3)


def loaded_by(code):
    code += "\nimport sys; print(*(m for m in sys.modules if m.startswith('pycnn.')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return shown.stdout.split()


def test_import_loads_no_operation():
    assert not [
        m for m in loaded_by("import pycnn") if m.startswith(("pycnn.define", "pycnn.plan"))
    ]


def test_an_operation_loads_its_own_family_and_nothing_that_tests_need():
    loaded = loaded_by("import pycnn; pycnn.softmax")
    assert "pycnn.define.softmax" in loaded
    others = ("pycnn.testing", "pycnn.reference.oracle", "pycnn.bench", "pycnn.nn")
    assert not [m for m in loaded if m.startswith((*others, "pycnn.define.conv"))]


def test_a_module_of_the_same_name_hides_no_function():
    code = "import pycnn.ops.softmax, pycnn.ops.pad, pycnn\nassert callable(pycnn.softmax)"
    assert "pycnn.ops.softmax" in loaded_by(code + "\nfrom pycnn import pad\nassert callable(pad)")


def test_a_module_that_a_neighbour_loaded_hides_no_function():
    code = (
        "import pycnn; pycnn.log_softmax; pycnn.pad_backward; pycnn.fold\n"
        "assert callable(pycnn.ops.softmax) and callable(pycnn.ops.pad)\n"
        "from pycnn.ops import unfold; assert callable(unfold)"
    )
    assert "pycnn.ops.softmax" in loaded_by(code)


def test_names_are_listed_once():
    assert len(dir(pycnn)) == len({*dir(pycnn)}) > len(pycnn.ops.__all__)


def objects(package, kind):
    """Every object of a kind that a module of a package has."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            several = value.values() if isinstance(value, dict) else (value,)
            yield from (each for each in several if isinstance(each, kind))


def test_what_is_defined_is_registered():
    """What no list has would be run by nobody, and tested by nobody."""
    definitions = {id(op) for op in objects(pycnn.define, Operation)}
    assert definitions == {id(op) for op in OPERATIONS.values()}
    algorithms = {id(each) for each in objects(pycnn.plan, Algorithm)}
    assert algorithms == {id(each) for each in ALGORITHMS.values()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_signature_has_the_operands_in_order_and_is_documented(name):
    op, parameters = OPERATIONS[name], inspect.signature(getattr(pycnn, name)).parameters
    operands = [o.name for o in op.operands]
    assert [n for n in parameters if n in operands] == operands
    required = [n for n, o in enumerate(op.operands) if not o.optional]
    for n, operand in enumerate(op.operands):  # what stands before others cannot have a default
        none = parameters[operand.name].default is None
        assert none == (operand.optional and n > max(required)), operand.name
    said = getattr(pycnn, name).__doc__
    section = said[said.index("Parameters\n---") : said.index("Returns\n---")]
    lines = re.findall(r"^(\w[\w, ]*?)(?: : .*)?$", section.split("\n", 2)[2], re.M)
    assert sorted(", ".join(lines).split(", ")) == sorted(parameters)
    titles = re.findall(r"^(\w[\w ]*)\n-+$", said, re.M)
    assert (titles[:3], titles[-1]) == (["Parameters", "Returns", "Raises"], "Examples")


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((X, 0, 1), {}, "positional argument"),
        ((X, 0), {"axis": 0}, "multiple values for argument 'axis'"),
        ((X,), {"axes": 0}, "unexpected keyword argument 'axes'"),
        ((X, 0), {"dim": 0}, "axis=0 and dim=0; allowed: one of the two"),
        ((X, -1), {"dim": 0}, "axis=-1 and dim=0; allowed: one of the two"),  # the default, written
    ],
)
def test_a_wrong_call_gives_one_error(arguments, settings, message):
    with pytest.raises(TypeError, match=message):
        pycnn.softmax(*arguments, **settings)


def test_both_names_of_an_axis_mean_the_same():
    assert np.array_equal(pycnn.softmax(X, dim=0), pycnn.softmax(X, axis=0))
    assert np.array_equal(pycnn.sum(X, dim=1, keepdim=True), pycnn.sum(X, 1, True))
    assert pycnn.concat([X, X], dim=1).shape == (2, 6)
    assert [part.shape for part in pycnn.split(X, 2, dim=1)] == [(2, 2), (2, 1)]
    with pytest.raises(ValueError, match="axis=2; allowed: -2 to 1"):
        pycnn.softmax(X, dim=2)


def test_a_signature_must_have_the_operands_of_its_definition():
    with pytest.raises(TypeError, match="is no signature of softmax"):

        @operation(SOFTMAX)
        def softmax(logits, axis=-1, *, out=None):
            """Another name for x."""
