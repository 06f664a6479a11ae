"""Signatures as lists of words, such as ["input", "dim=None", "*", "out=None"]."""

import inspect
import json
import re

import golden

import pycnn
from pycnn.define.operation import Gradient
from pycnn.define.registry import OPERATIONS

PATH = golden.FOLDER / "signatures.json"
NAMES = [name for name, op in OPERATIONS.items() if not isinstance(op, Gradient)]

#: Functions of PyTorch that only choose between two others have no signature of their own.
CHOSEN = re.compile(r"(adaptive_)?max_pool\dd")


def words(signature):
    """Of a Python function."""
    found, kinds = [], inspect.Parameter
    for name, parameter in signature.parameters.items():
        if parameter.kind is kinds.KEYWORD_ONLY and "*" not in found:
            found.append("*")
        default = parameter.default
        if str(default).startswith("torch."):  # a dtype, of which the name
            default = str(default).removeprefix("torch.")
        found.append(name if default is kinds.empty else f"{name}={default!r}")
    return found


def ours(name):
    return words(inspect.signature(getattr(pycnn, name)))


def theirs(name):
    """PyTorch's function of that name, None where it has none; needs PyTorch."""
    import torch

    places = torch.nn.functional, torch
    function = next((getattr(p, name) for p in places if hasattr(p, name)), None)
    if function is None:
        return None
    if CHOSEN.fullmatch(name):
        function = getattr(torch.nn.functional, f"_{name}")
    try:
        return words(inspect.signature(function))
    except ValueError:  # a builtin: its documentation has one line for each overload
        lines = re.findall(rf"\b{name}\((.*?)\) ->", function.__doc__)
        lines = lines or re.findall(rf"^{name}\((.*?)\)$", function.__doc__, re.M)
        found = max(lines, key=lambda line: line.count(","))
        return [re.sub(r"\s*=\s*", "=", word.strip()) for word in found.split(",")]


def write():
    import torch

    found = {name: theirs(name) for name in NAMES}
    lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(s)}" for n, s in found.items())
    PATH.write_text(f'{{"torch": "{torch.__version__}", "signatures": {{\n{lines}\n}}}}\n')


def read():
    return json.loads(PATH.read_text())["signatures"]
