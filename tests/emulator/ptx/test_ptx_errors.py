"""What is wrong with a PTX text is one error that names the line, before anything runs."""

import random
import re

import numpy as np
import pytest
from ptx_run import HEAD, entry

from pycnn.emulator import KernelError, PtxError, PtxModule

CASES = {
    "is empty": "",
    "begins with .version": ".target sm_80\n.version 8.0",
    "no .target": ".version 8.0\n",
    "allowed: 64": ".version 8.0\n.target sm_80\n.address_size 32\n",
    "no declaration of PTX": HEAD + "hello world\n",
    "never closed": HEAD + ".entry test() {\n ret;\n",
    "no statement of PTX": entry("ret; ;"),
    "type .f24 is not known": entry(".reg .f24 %r1; ret;"),
    "powers of two": entry(".shared .align 3 .b8 x[4]; ret;"),
    "is defined again": entry("L: ret; L: ret;"),
    "no predicate register": entry(".reg .b32 %r1; @%p1 ret;"),
    "is no operand": entry(".reg .b32 %r<3>; add.u32 %r1, %r2, 3 4; ret;"),
    "instruction frobnicate is not there": entry("frobnicate.b32; ret;"),
    "add.rz.s32 is not there; of add there are": entry(
        ".reg .b32 %r<3>; add.rz.s32 %r1, %r1, 1; ret;"
    ),
    "has 2 operands": entry(".reg .b32 %r<3>; add.u32 %r1, %r2; ret;"),
    "%r9 is not declared": entry(".reg .b32 %r<3>; add.u32 %r1, %r2, %r9; ret;"),
    "label nowhere is not defined|nowhere is not declared": entry("bra nowhere;"),
    "is .b64, .u32 is wanted": entry(".reg .b32 %r<3>; .reg .b64 %d; add.u32 %r1, %r2, %d; ret;"),
    "is .pred, .u32 is wanted": entry(".reg .b32 %r<3>; .reg .pred %p; add.u32 %r1, %r2, %p; ret;"),
    "an operand of another form is wanted": entry(
        ".reg .b32 %r<3>; shfl.sync.bfly.b32 %r1, %r2, !1, 31, -1; ret;"
    ),
    "the destination is no register": entry(".reg .b32 %r<3>; add.u32 3, %r2, 1; ret;"),
    "which has 4": entry(".reg .b64 %d; ld.param.u64 %d, [n]; ret;", ".param .u32 n"),
    "function f is not declared|f is not declared": entry("call f; ret;"),
    "defined neither here nor by the emulator": entry("call f; ret;", before=".extern .func f;"),
    "allowed: 0 to 15": entry("bar.sync 16; ret;"),
    "registers %r; allowed": entry(".reg .b32 %r<99999999>; ret;"),
    "no initial value": HEAD + ".global .u32 x = banana split;\n.entry test() { ret; }",
    "its initial value 12": HEAD + ".global .u32 x[2] = {1, 2, 3};\n.entry test() { ret; }",
    "holds the address of nothing": HEAD + ".global .u64 x = nothing;\n.entry test() { ret; }",
}


@pytest.mark.parametrize("message", CASES)
def test_malformed_texts(message):
    with pytest.raises(PtxError, match=message) as caught:
        PtxModule(CASES[message] + "\n").get_function("test")
    assert str(caught.value).startswith("kernel.ptx:")


def test_the_line_is_the_one_at_fault_and_all_are_listed():
    text = entry("ret;\n.reg .b32 %r<2>;\n  bogus.u32 %r1, %r1;\n  add.f32.u32 %r1, %r1, %r1;")
    with pytest.raises(PtxError) as caught:
        PtxModule(text).get_function("test")
    lines = text.splitlines()
    assert "bogus" in lines[caught.value.line - 1]
    other = int(re.search(r"line (\d+): add.f32.u32", str(caught.value))[1])
    assert "add.f32.u32" in lines[other - 1]


def test_only_the_entry_that_is_asked_for_is_read():
    text = HEAD + ".entry good() { ret; }\n.entry bad() { tcgen05.alloc; }\n"
    module = PtxModule(text)
    module.get_function("good")((1,), (1,), ())
    with pytest.raises(PtxError, match="tcgen05"):
        module.get_function("bad")
    with pytest.raises(ValueError, match="no such kernel; there are: good, bad"):
        module.get_function("ugly")


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "x.cubin").write_bytes(b"\x7fELF\xff\xfe\0\1")
    with pytest.raises(PtxError, match="no text"):
        PtxModule(tmp_path / "x.cubin")
    with pytest.raises(FileNotFoundError):
        PtxModule(tmp_path / "nothing.ptx")
    (tmp_path / "x.ptx").write_text(entry("ret;"))
    assert PtxModule(str(tmp_path / "x.ptx")).kernel_names == ("test",)


GOOD = entry(
    """
    .reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %rd<5>; .reg .f32 %f<5>;
    .shared .align 4 .b8 tile[128];
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd2, %r1, 4, %rd1;
    ld.global.f32 %f1, [%rd2]; cvt.rzi.s32.f32 %r2, %f1;
    mov.u32 %r3, tile; shl.b32 %r4, %r1, 2; add.u32 %r3, %r3, %r4;
    st.shared.f32 [%r3], %f1; bar.sync 0; ld.shared.f32 %f2, [%r3];
    setp.gt.f32 %p1, %f2, 0f3F800000; @%p1 fma.rn.f32 %f2, %f2, %f1, 0f40000000;
    { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2;
      call (b), half, (a); ld.param.b32 %r5, [b]; }
    shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1;
    st.global.f32 [%rd2], %f2; ret;""",
    ".param .u64 x",
    before=".func (.param .b32 r) half(.param .b32 n) { .reg .b32 %r<3>; ld.param.b32 %r1, [n];"
    " shr.s32 %r2, %r1, 1; st.param.b32 [r], %r2; ret; }\n.global .align 4 .u32 table[2] = {1, 2};",
)


def damaged(rng: random.Random) -> str:
    """A text with something removed, doubled, swapped or replaced."""
    text = GOOD
    for _ in range(rng.choice((1, 1, 1, 3))):
        at = rng.randrange(len(text))
        kind = rng.choice((0, 1, 1, 2, 2, 2, 2, 3, 4))
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + text[at + rng.randrange(1, 4) :]
        elif kind == 2:
            text = text[:at] + rng.choice('{}[](),;:.%@!|-+09afrx"\\\n ') + text[at + 1 :]
        elif kind == 3:
            words = re.findall(r"[.%\w]+", GOOD)
            text = text[:at] + rng.choice(words) + text[at:]
        else:
            to = rng.randrange(len(text))
            text = text[:at] + text[to : to + rng.randrange(1, 40)] + text[at:]
        text = text or " "
    return text


@pytest.mark.parametrize("seed", range(8))
def test_damaged_texts_are_refused_or_translated(seed):
    """Neither a crash nor another exception: of LLVM's text too, which must be well-formed."""
    from pycnn.emulator.launching import runtime
    from pycnn.emulator.ptx.compile import translate
    from pycnn.emulator.ptx.machine import llvm
    from pycnn.emulator.ptx.parse import parse

    functions = {name: i for i, name in enumerate(runtime().PTX_FUNCTIONS)}
    rng = random.Random(seed)
    refused = 0
    for _ in range(60):
        text = damaged(rng)
        try:
            module = parse(text)
            entries = [f for f in module.functions.values() if f.is_entry]
            programs = [translate(module, f, functions, checked=True) for f in entries]
        except PtxError:
            refused += 1
            continue
        for program in programs:
            llvm().parse_assembly(program.text).verify()
    assert refused > 20


def test_a_text_that_is_whole_runs():
    x = np.ones(32, np.float32)
    PtxModule(GOOD, checked=True).get_function("test")((1,), (32,), (x,))
    assert (x == 1).all()


def test_a_trap_is_a_kernel_error():
    with pytest.raises(KernelError, match="trap") as caught:
        PtxModule(entry("trap;")).get_function("test")((1,), (1,), ())
    assert caught.value.file == "kernel.ptx"
    assert caught.value.line == 7
