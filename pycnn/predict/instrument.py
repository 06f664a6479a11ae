"""PTX that counts how often each of its basic blocks runs, and keeps the addresses it touches.

The text is the kernel's own with instructions put between: nothing of the emulator has to know. The
lines stay as they are, so that a line of PTX still stands for what machine code says of it.

Of a large grid a few blocks are run: ``%ctaid`` is replaced by what a table says. Each block that
runs, a *sample*, has counters and room for addresses of its own.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pycnn.emulator.ptx.parse import parse

#: Executions of a thread that are kept, of all instructions of a memory together, and of one.
GLOBAL_SLOTS, SHARED_SLOTS = 4096, 1024
MOST_GLOBAL, MOST_SHARED = 1024, 32

_STATEMENT = re.compile(
    r"\s*(?:(?P<loc>\.loc[^\n]*)|(?P<label>[$\w%.]+)\s*:(?!:)|(?P<brace>[{}])|(?P<code>[^;]+;))"
)
_CODE = re.compile(
    r"(?:@(?P<not>!?)(?P<guard>%?[\w$]+)\s+)?(?P<op>[a-z][\w.:]*)\s*(?P<operands>[^;]*);", re.DOTALL
)
_ADDRESS = re.compile(r"\[\s*([%$\w]+)\s*(?:\+\s*(-?(?:0x)?[0-9a-fA-F]+))?\s*(?:,|\])")
_FAMILY = re.compile(r"\.reg\s+\.(\w+)\s+([^;]+);")
_ENDS = ("bra", "brx", "ret", "exit", "trap")
_SPECIAL = re.compile(r"%(ctaid|nctaid|clusterid|nclusterid)\.([xyz])\b")


@dataclass(frozen=True)
class Access:
    """An instruction that touches memory.

    Attributes
    ----------
    line : int
        Of the PTX.
    opcode : str
    space : {"global", "shared", "bulk", "cluster"}
        ``cp.async`` is two: it reads global memory and writes shared memory. ``bulk`` stands for
        the bytes that an ``mbarrier`` expects, what tensor copies bring, and for those of the boxes
        that tensor copies take to global memory; ``cluster`` for what other blocks' copies bring.
    kind : {"load", "store", "atomic"}
    size : int
        Bytes a thread moves.
    block : int
        The basic block it is in.
    slots : int
        Executions that are kept.
    offset : int
        Of the first, within what a sample keeps, in units of one execution by the whole block.
    matrix : int
        8x8 matrices that a warp loads or stores by it, whose rows the lanes name; else 0.
    """

    line: int
    opcode: str
    space: str
    kind: str
    size: int
    block: int
    slots: int = 0
    offset: int = 0
    matrix: int = 0


@dataclass(frozen=True)
class Instrumented:
    """A text that counts, and what its counters mean.

    Attributes
    ----------
    text : str
    blocks : int
        Counters of a thread.
    block_of_line : dict of int to int
        Of a line of PTX with an instruction, its basic block.
    opcodes : dict of int to list of str
        Instructions of each basic block.
    accesses : tuple of Access
    slots : int
        Executions that a sample keeps, of all accesses together.
    """

    text: str
    blocks: int
    block_of_line: dict[int, int]
    opcodes: dict[int, list[str]]
    accesses: tuple[Access, ...]
    slots: int


#: Where to put what: from, to, text.
_Edit = tuple[int, int, str]


@dataclass
class _State:
    blocks: int = 0
    block_of_line: dict[int, int] = field(default_factory=dict)
    opcodes: dict[int, list[str]] = field(default_factory=dict)
    accesses: list[tuple[Access, int, re.Match[str], dict[str, str]]] = field(default_factory=list)
    edits: list[_Edit] = field(default_factory=list)


#: What a function needs, once. `pycnn_watch`: addresses of counters, traces and table, bytes of a
#: sample's counters and traces, the grid of the whole launch in blocks, the same in clusters, and
#: the extents of a cluster.
_HEAD = """
.reg .b64 %pycnn_c, %pycnn_t, %pycnn_a, %pycnn_b; .reg .b32 %pycnn_n, %pycnn_i, %pycnn_j, %pycnn_k;
.reg .pred %pycnn_p; .reg .b32 %pycnn_ctaid_x, %pycnn_ctaid_y, %pycnn_ctaid_z, %pycnn_nctaid_x,
%pycnn_nctaid_y, %pycnn_nctaid_z, %pycnn_clusterid_x, %pycnn_clusterid_y, %pycnn_clusterid_z,
%pycnn_nclusterid_x, %pycnn_nclusterid_y, %pycnn_nclusterid_z;
mov.u32 %pycnn_i, %tid.z; mov.u32 %pycnn_j, %ntid.y; mov.u32 %pycnn_k, %tid.y;
mad.lo.u32 %pycnn_i, %pycnn_i, %pycnn_j, %pycnn_k; mov.u32 %pycnn_j, %ntid.x;
mov.u32 %pycnn_k, %tid.x; mad.lo.u32 %pycnn_n, %pycnn_i, %pycnn_j, %pycnn_k;
mov.u32 %pycnn_i, %ctaid.z; mov.u32 %pycnn_j, %nctaid.y; mov.u32 %pycnn_k, %ctaid.y;
mad.lo.u32 %pycnn_i, %pycnn_i, %pycnn_j, %pycnn_k; mov.u32 %pycnn_j, %nctaid.x;
mov.u32 %pycnn_k, %ctaid.x; mad.lo.u32 %pycnn_i, %pycnn_i, %pycnn_j, %pycnn_k;
cvt.u64.u32 %pycnn_a, %pycnn_i; ld.global.u64 %pycnn_b, [pycnn_watch+24];
mul.lo.u64 %pycnn_b, %pycnn_a, %pycnn_b; ld.global.u64 %pycnn_c, [pycnn_watch];
add.u64 %pycnn_c, %pycnn_c, %pycnn_b; mul.wide.u32 %pycnn_b, %pycnn_n, COUNTERS;
add.u64 %pycnn_c, %pycnn_c, %pycnn_b; ld.global.u64 %pycnn_b, [pycnn_watch+32];
mul.lo.u64 %pycnn_b, %pycnn_a, %pycnn_b; ld.global.u64 %pycnn_t, [pycnn_watch+8];
add.u64 %pycnn_t, %pycnn_t, %pycnn_b; mul.wide.u32 %pycnn_b, %pycnn_n, 8;
add.u64 %pycnn_t, %pycnn_t, %pycnn_b; ld.global.u64 %pycnn_b, [pycnn_watch+16];
mul.lo.u64 %pycnn_a, %pycnn_a, 24; add.u64 %pycnn_b, %pycnn_b, %pycnn_a;
ld.global.u32 %pycnn_ctaid_x, [%pycnn_b]; ld.global.u32 %pycnn_ctaid_y, [%pycnn_b+4];
ld.global.u32 %pycnn_ctaid_z, [%pycnn_b+8]; ld.global.u32 %pycnn_clusterid_x, [%pycnn_b+12];
ld.global.u32 %pycnn_clusterid_y, [%pycnn_b+16]; ld.global.u32 %pycnn_clusterid_z, [%pycnn_b+20];
ld.global.u32 %pycnn_nctaid_x, [pycnn_watch+40]; ld.global.u32 %pycnn_nctaid_y, [pycnn_watch+44];
ld.global.u32 %pycnn_nctaid_z, [pycnn_watch+48];
ld.global.u32 %pycnn_nclusterid_x, [pycnn_watch+52];
ld.global.u32 %pycnn_nclusterid_y, [pycnn_watch+56];
ld.global.u32 %pycnn_nclusterid_z, [pycnn_watch+60];
"""


@functools.lru_cache(maxsize=64)
def instrument(text: str, entry: str, threads: int) -> Instrumented:
    """Put counters into an entry and the functions of its module.

    Parameters
    ----------
    text : str
        The PTX.
    entry : str
        Other entries are left as they are.
    threads : int
        Of the blocks that will be launched.
    """
    module = parse(text)
    plain = module.text
    state = _State()
    begins = []
    for function in module.functions.values():
        if function.begin < 0 or (function.is_entry and function.name != entry):
            continue
        begins.append(function.begin)
        _function(plain, function.begin, function.end, state)
    accesses, slots = _with_slots([access for access, *_ in state.accesses])
    head = _HEAD.replace("\n", " ").replace("COUNTERS", str(4 * state.blocks))
    edits = [(at, at, head) for at in begins] + state.edits
    for access, (_, at, code, widths) in zip(accesses, state.accesses, strict=True):
        edits.append((at, at, _trace(access, code, widths, threads)))
    first = re.search(r"\.address_size\s+64", plain)
    if first is None:
        raise ValueError("the PTX text has no .address_size 64")
    edits.append((first.end(), first.end(), " .global .align 8 .b8 pycnn_watch[64]; "))
    return Instrumented(
        _edited(plain, edits), state.blocks, state.block_of_line, state.opcodes, accesses, slots
    )


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    parts, last = [], 0
    for begin, end, more in sorted(edits, key=lambda edit: edit[0]):  # stable: as they were made
        parts += [text[last:begin], more]
        last = end
    return "".join(parts) + text[last:]


def _function(text: str, begin: int, end: int, state: _State) -> None:
    widths: dict[str, str] = {}
    fresh = True
    line, at = text.count("\n", 0, begin) + 1, begin
    while (found := _STATEMENT.match(text, at, end)) is not None:
        start = found.start(found.lastgroup or 0)
        line += text.count("\n", at, start)
        at = start
        if found["label"]:
            fresh = True
        elif found["code"]:
            code = _CODE.fullmatch(text, start, found.end())
            if code is None:
                for kind, names in _FAMILY.findall(found["code"]):
                    widths.update((re.sub(r"<\d+>", "", n.strip()), kind) for n in names.split(","))
            else:
                if fresh:
                    state.edits.append((start, start, _count(state.blocks)))
                    state.blocks += 1
                fresh = code["op"].partition(".")[0] in _ENDS
                _instruction(text, code, line, widths, state)
        line += text.count("\n", at, found.end())
        at = found.end()


def _instruction(
    text: str, code: re.Match[str], line: int, widths: dict[str, str], state: _State
) -> None:
    block = state.blocks - 1
    state.block_of_line.setdefault(line, block)
    state.opcodes.setdefault(block, []).append(code["op"])
    for hit in _SPECIAL.finditer(text, code.start(), code.end()):
        state.edits.append((hit.start(), hit.end(), f"%pycnn_{hit[1]}_{hit[2]}"))
    for access in _accesses(code["op"], code["operands"], line, block):
        # In the order of the text: the trace goes before the instruction and what it replaces.
        state.accesses.append((access, code.start(), code, widths))


def _count(block: int) -> str:
    return (f" ld.global.u32 %pycnn_n, [%pycnn_c+{4 * block}]; add.u32 %pycnn_i, %pycnn_n, 1; "
            f"st.global.u32 [%pycnn_c+{4 * block}], %pycnn_i; ")  # fmt: skip


#: Where the extents of its box lie in a map.
_BOX = 80

# ---- Memory -------------------------------------------------------------------------------------


def _accesses(op: str, operands: str, line: int, block: int) -> Iterator[Access]:
    parts = op.split(".")
    stem = parts[0]
    spaces = {part.partition("::")[0] for part in parts}
    if op.startswith("cp.async.") and parts[2] in ("ca", "cg"):
        size = int(operands.rpartition("]")[2].split(",")[1], 0)
        yield Access(line, op, "global", "load", size, block)
        yield Access(line, op, "shared", "store", size, block)
    elif stem == "mbarrier" and "expect_tx" in parts:
        # Without an arrival there come bytes that another block of the cluster copies.
        yield Access(line, op, "bulk" if "arrive" in parts else "cluster", "load", 0, block)
    elif op.startswith("cp.async.bulk.tensor.") and "bulk_group" in parts:
        yield Access(line, op, "bulk", "store", 0, block)
    elif stem in ("ldmatrix", "stmatrix"):
        count = next((int(p[1]) for p in parts if p in ("x1", "x2", "x4")), 1)
        kind = "load" if stem == "ldmatrix" else "store"
        yield Access(line, op, "shared", kind, 16, block, matrix=count)
    elif stem in ("ld", "ldu", "st", "atom", "red") and not spaces & {"param", "const", "async"}:
        space = "shared" if "shared" in spaces else "local" if "local" in spaces else "global"
        kind = {"st": "store", "atom": "atomic", "red": "atomic"}.get(stem, "load")
        vector = next((int(p[1:]) for p in parts if p in ("v2", "v4", "v8")), 1)
        bits = re.search(r"(\d+)(x2)?$", parts[-1])
        size = int(bits[1]) // 8 * (2 if bits[2] else 1) if bits else 4
        yield Access(line, op, space, kind, size * vector, block)


def _with_slots(accesses: Sequence[Access]) -> tuple[tuple[Access, ...], int]:
    """Accesses with their room, and the room of all."""
    groups = {"shared": "shared", "local": "none"}
    number = Counter(groups.get(a.space, "global") for a in accesses)
    room = {
        "global": min(MOST_GLOBAL, max(8, GLOBAL_SLOTS // max(1, number["global"]))),
        "shared": min(MOST_SHARED, max(4, SHARED_SLOTS // max(1, number["shared"]))),
        "none": 0,
    }
    made, offset = [], 0
    for access in accesses:
        slots = room[groups.get(access.space, "global")]
        made.append(replace(access, slots=slots, offset=offset))
        offset += slots
    return tuple(made), offset


def _trace(access: Access, code: re.Match[str], widths: dict[str, str], threads: int) -> str:
    if not access.slots:
        return ""
    operands = code["operands"]
    if access.space == "bulk" and access.kind == "store":
        text = _box_bytes(operands)
    elif access.space in ("bulk", "cluster"):
        value = operands.rpartition(",")[2].strip()
        text = f" mov.u32 %pycnn_i, {value}; cvt.u64.u32 %pycnn_a, %pycnn_i; "
    else:
        addresses = _ADDRESS.findall(operands)
        source = access.opcode.startswith("cp.async") and access.space == "global"
        base, offset = addresses[1 if source else 0]
        text = _address(base, offset or "0", widths)
        size = operands.rpartition("]")[2].split(",")[2:3] if source else []
        if size and not size[0].strip().isdigit():  # bytes to copy; with none nothing is read
            text += (f" setp.ne.u32 %pycnn_p, {size[0].strip()}, 0;"
                     " selp.b64 %pycnn_a, %pycnn_a, 0, %pycnn_p; ")  # fmt: skip
    if code["guard"]:
        chosen = "0, %pycnn_a" if code["not"] else "%pycnn_a, 0"
        text += f" selp.b64 %pycnn_a, {chosen}, {code['guard']}; "
    return text + (
        f" setp.lt.u32 %pycnn_p, %pycnn_n, {access.slots};"
        f" mul.wide.u32 %pycnn_b, %pycnn_n, {8 * threads}; add.u64 %pycnn_b, %pycnn_b, %pycnn_t;"
        f" @%pycnn_p st.global.u64 [%pycnn_b+{8 * threads * access.offset}], %pycnn_a; "
    )


def _box_bytes(operands: str) -> str:
    """Of a map as emulator/tensor_map.h has it; of elements of 16 bits."""
    base = operands.partition("[")[2].partition(",")[0].strip()
    text = f" ld.u16 %pycnn_i, [{base}+{_BOX}];"
    for axis in range(1, 5):
        text += (f" ld.u16 %pycnn_j, [{base}+{_BOX + 2 * axis}]; max.u32 %pycnn_j, %pycnn_j, 1;"
                 " mul.lo.u32 %pycnn_i, %pycnn_i, %pycnn_j;")  # fmt: skip
    return text + " mul.wide.u32 %pycnn_a, %pycnn_i, 2; "


def _address(base: str, offset: str, widths: dict[str, str]) -> str:
    kind = widths.get(base) or widths.get(re.sub(r"\d+$", "", base))
    if kind is None:
        return f" mov.u64 %pycnn_a, {base}; add.s64 %pycnn_a, %pycnn_a, {offset}; "
    if kind.endswith("32"):
        return f" cvt.u64.u32 %pycnn_a, {base}; add.s64 %pycnn_a, %pycnn_a, {offset}; "
    return f" add.s64 %pycnn_a, {base}, {offset}; "
