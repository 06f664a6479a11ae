"""Variables: their types, extents and initial values."""

import re

from pycnn.emulator.ptx.syntax import TYPES, Type, Variable
from pycnn.emulator.ptx.text import (
    DECIMAL,
    INTEGER,
    NAME,
    Source,
    float_of,
    integer,
    literal,
    literal_bits,
)

#: Bytes of one variable beyond which a text is taken as damaged.
MOST_BYTES = 1 << 30

_VARIABLE = re.compile(
    rf"""\s*(?P<attributes>(?:\.(?:align\s+\d+|attribute\s*\([^)]*\)|ptr|global|shared|const|local|
    managed|unified)\s+)*)
    (?:\.(?P<vector>v2|v4)\s+)?\.(?P<type>\w+)\s+
    (?P<attributes2>(?:\.(?:align\s+\d+|ptr|global|shared|const|local)\s+)*)
    (?P<name>{NAME})\s*(?P<extents>(?:\[[^\]]*\]\s*)*)(?P<value>=[^;]*)?""",
    re.VERBOSE,
)
_ALIGN = re.compile(r"\.align\s+(\d+)")


def variable_of(source: Source, at: int, text: str, space: str) -> Variable:
    """A variable from its declaration, behind the state space."""
    match = _VARIABLE.fullmatch(text.rstrip())
    if match is None:
        source.fail(at, f"malformed declaration of a .{space} variable: {text.strip()[:60]!r}")
    type = type_named(source, at, match["type"])
    count = int(match["vector"][1]) if match["vector"] else 1
    element = type.bytes * count
    attributes = match["attributes"] + match["attributes2"]
    aligned = None if ".ptr" in attributes else _ALIGN.search(attributes)
    align = int(aligned[1]) if aligned else element
    if align & (align - 1) or not 1 <= align <= 4096:
        source.fail(at, f".align {align}; allowed: powers of two up to 4096")
    extents = re.findall(r"\[\s*(\d*)\s*\]", match["extents"])
    size = element
    for extent in extents:
        size *= int(extent) if extent else 0
    if size > MOST_BYTES:
        source.fail(at, f"{match['name']} has {size} bytes; allowed: {MOST_BYTES}")
    variable = Variable(
        match["name"], space, type, align, size, source.line(at),
        is_array=bool(extents), pointer=".ptr" in attributes,
    )  # fmt: skip
    if match["value"]:
        _initialise(source, at, variable, match["value"][1:].strip())
    return variable


def type_named(source: Source, at: int, name: str) -> Type:
    if name not in TYPES:
        source.fail(at, f"type .{name} is not known")
    return TYPES[name]


_VALUE = re.compile(
    rf"\s*(?:(?P<float>0[fF][0-9a-fA-F]{{8}}|0[dD][0-9a-fA-F]{{16}}|{DECIMAL.pattern})"
    rf"|(?P<integer>{INTEGER.pattern})"
    rf"|(?P<mask>0[xX][0-9a-fA-F]+)?(?P<generic>generic\s*\()?\s*(?P<name>{NAME})\s*\)?"
    rf"(?:\s*(?P<addend>[-+]\s*\d+))?)\s*"
)


def _initialise(source: Source, at: int, variable: Variable, text: str) -> None:
    """The bytes of an initial value, whose braces do not matter: values are in row order."""
    flat = text.replace("{", " ").replace("}", " ").strip()
    values = [v for v in flat.split(",") if v.strip()] if flat else []
    type, width = variable.type, variable.type.bytes
    if variable.is_array and variable.size == 0:
        variable.size = width * len(values)
    data = bytearray()
    relocations = []
    for value in values:
        match = _VALUE.fullmatch(value)
        if match is None:
            source.fail(at, f"{value.strip()[:40]!r} is no initial value")
        if match["float"]:
            if type.kind != "f" and type.bits not in (32, 64):
                source.fail(at, f"{match['float']} is no initial value of a .{type.name}")
            bits = literal_bits(literal(match["float"]), type)
        elif match["integer"]:
            whole = integer(match["integer"])
            bits = literal_bits(float_of(float(whole)), type) if type.kind == "f" else whole
        else:
            addend = int((match["addend"] or "0").replace(" ", ""))
            relocations.append((len(data), width, match["name"], addend))
            bits = 0
        data += (bits & ((1 << type.bits) - 1)).to_bytes(width, "little")
    if len(data) > variable.size:
        source.fail(at, f"{variable.name} has {variable.size} bytes, its initial value {len(data)}")
    variable.data = bytes(data)
    variable.relocations = tuple(relocations)
