"""Mistakes that somebody could make, each in one line of the package, and the tests that find them.

They concern what is easily exchanged: the order of axes, padding before and after, stride and
dilation, groups, extents of results, the last window of ceil mode. `test_mutants.py` makes every
one of them in a copy of the package.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A mistake.

    Attributes
    ----------
    file : str
    right, wrong : str
        What stands there, in one or more places, and what a mistake makes of all of them.
    found_by : str
        A name of `SELECTIONS`.
    """

    file: str
    right: str
    wrong: str
    found_by: str

    def __str__(self) -> str:
        return f"{self.file.removeprefix('pycnn/')}: {self.right} > {self.wrong}"


def _oracle(words: str, backends: str = "(reference or emulator)") -> tuple[str, ...]:
    """Operations, in one dtype, against their oracles."""
    chosen = f"matches_the_oracle and float32 and {backends} and ({words})"
    return "tests/ops/test_every_operation.py", "-k", chosen


#: Quick tests by a name: arguments of pytest.
SELECTIONS = {
    "conv": _oracle("conv"),
    "conv on the CPU": _oracle("conv", "reference"),
    "pool": _oracle("pool"),
    "pool on the CPU": _oracle("pool", "reference"),
    "fold": _oracle("fold"),
    "fold on the CPU": _oracle("fold", "reference"),
    "pad": _oracle("pad"),
    "pad on the CPU": _oracle("pad", "reference"),
    "resize": _oracle("interpolate"),
    "reduce": _oracle("sum or mean or amax or amin or argmax or topk"),
    "movement": _oracle("permute or concat or split or shuffle"),
    "norm": _oracle("norm"),
    "softmax": _oracle("softmax"),
    "elementwise": _oracle("add or mul"),
    "fold, checked": _oracle("fold", "checked"),
    "views": (
        "tests/ops/test_every_operation.py",
        *("-k", "views and emulator and (relu or add or amax)"),
    ),
    "tiles of pooling": ("tests/plan/test_pool.py",),
    "algorithms of conv": ("tests/ops/test_conv.py", "-k", "emulator and (takes or refuse)"),
    "onnx fusion": ("tests/onnx/test_fuse.py",),
    "onnx hostile": ("tests/onnx/test_hostile.py", "-k", "external"),
    "onnx sessions": ("tests/onnx/test_session.py",),
    "depthwise": (
        "tests/ops/test_conv_depthwise.py",
        *("-k", "emulator and all_directions and NCHW"),
    ),
    "phases of conv": ("tests/ops/test_implicit_gemm.py", "-k", "emulator and backward"),
}


def read(path: Path) -> Iterator[Mutant]:
    """The mutants of a file; see its beginning."""
    file = found_by = right = ""
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or line.startswith("#"):
            continue
        if not line.startswith(" "):
            file, _, found_by = text.rstrip("]").partition(" [")
        elif text.startswith("=> "):
            yield Mutant(file, right, text.removeprefix("=> "), found_by)
        else:
            right = text


MUTANTS = [*read(Path(__file__).with_name("mutants.txt"))]
