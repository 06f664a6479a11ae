"""The table of operations, made from their definitions: ``pycnn ops`` and the documentation."""

import argparse
import json
from dataclasses import dataclass

from pycnn.define.operation import Gradient, Operation
from pycnn.define.registry import OPERATIONS
from pycnn.dtypes import FLOATING
from pycnn.runtime.backends import NAMES
from pycnn.runtime.text import aligned, markdown

HEAD = ("operation", "forward", "backward", "layout", "backends", "note")

#: dtypes as the table writes them.
SHORT = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}


@dataclass(frozen=True)
class Row:
    """An operation and its gradient.

    Attributes
    ----------
    operation : str
    family : str
    forward, backward : tuple of str
        dtypes; none where there is no gradient.
    layouts : tuple of str
        Empty where no axis is special.
    backends : tuple of str
    note : str
        What explains every hole.
    """

    operation: str
    family: str
    forward: tuple[str, ...]
    backward: tuple[str, ...]
    layouts: tuple[str, ...]
    backends: tuple[str, ...]
    note: str

    def cells(self) -> tuple[str, ...]:
        """In the order of `HEAD`."""
        return (
            self.operation,
            _listed(self.forward),
            _listed(self.backward) or "-",
            " ".join(self.layouts) or "any",
            " ".join(self.backends),
            self.note,
        )


def _listed(dtypes: tuple[str, ...]) -> str:
    return (
        "all floats" if set(dtypes) == set(FLOATING) else " ".join(SHORT.get(d, d) for d in dtypes)
    )


def rows() -> list[Row]:
    """One row an operation, in the order of the definitions."""
    return [_row(op) for op in OPERATIONS.values() if not isinstance(op, Gradient)]


def _row(op: Operation) -> Row:
    gradient = OPERATIONS.get(f"{op.name}_backward")
    notes = [op.note, op.no_gradient, gradient.note if gradient else ""]
    return Row(
        op.name,
        op.family,
        tuple(op.dtypes),
        tuple(gradient.dtypes) if gradient else (),
        tuple(op.layouts),
        NAMES,
        "; ".join(filter(None, notes)),
    )


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "ops", help="the operations: forward, backward, dtypes, layouts and backends"
    )
    parser.add_argument("--family", help="only one family, such as conv")
    parser.add_argument("--json", action="store_true", help="as JSON, for a program")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    families = sorted({op.family for op in OPERATIONS.values()})
    if arguments.family not in (None, *families):
        raise ValueError(f"--family={arguments.family}; allowed: {', '.join(families)}")
    chosen = [row for row in rows() if arguments.family in (None, row.family)]
    if arguments.json:
        print(json.dumps([vars(row) for row in chosen], indent=1))
        return 0
    print("\n".join(aligned([HEAD, *(row.cells() for row in chosen)])))
    gradients = sum(bool(row.backward) for row in chosen)
    print(
        f"{len(chosen)} operations, {gradients} with a gradient; all floats: {', '.join(FLOATING)}"
    )
    return 0


def as_markdown() -> str:
    """The same table for the documentation."""
    return markdown(HEAD, [(f"`{name}`", *rest) for name, *rest in (r.cells() for r in rows())])
