"""What is wrong with a PTX text is one error that names the line, before anything runs."""

import re

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
    "is no initial value of a .b8": HEAD + ".global .b8 x = 1.5;\n.entry test() { ret; }",
    "a number has hundreds of digits": entry(f"bar.sync {'1' * 5000};"),
    "allowed: lines to 2147483647": entry(".loc 1 2147483648 1\nret;"),
    "allowed: such as sm_80": HEAD.replace("sm_90a", "compute_80"),
    "elect.sync is there from sm_90 on, the text is for sm_80": entry(
        ".reg .b32 %r; .reg .pred %p; elect.sync %r|%p, -1; ret;"
    ).replace("sm_90a", "sm_80"),
    "fence.sync.aligned is there for sm_90a only, the text is for sm_100a": entry(
        "wgmma.fence.sync.aligned; ret;"
    ).replace("sm_90a", "sm_100a"),
    "setmaxnreg.inc.sync.aligned.u32 is there for targets such as sm_90a": entry(
        "setmaxnreg.inc.sync.aligned.u32 240; ret;"
    ).replace("sm_90a", "sm_90"),
    "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 is not there": entry(
        ".reg .b32 %r<3>; ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {%r1, %r2}, [%r0];"
    ).replace("sm_90a", "sm_100a"),
    "stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 is not there": entry(
        ".reg .b32 %r<3>; stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%r0], {%r1};"
    ).replace("sm_90a", "sm_100a"),
    "row.col.f32.f16.f16.f32 is not there": entry(
        ".reg .b32 %r<3>; .reg .f32 %f<5>; mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
        " {%f1, %f2, %f3, %f4}, {%r1, %r2}, {%r1, %r2}, {%f1, %f2, %f3, %f4}, %r1, 0x0;"
    ),
    "wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.f16.f16 is not there": entry(
        ".reg .b32 %r<3>; wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.f16.f16 {%r1}, 0, 0, %r1;"
    ),
    "tex.2d.v4.f32.f32 is not there|instruction tex is not there": entry("tex.2d.v4.f32.f32 x, y;"),
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


def test_a_trap_is_a_kernel_error():
    with pytest.raises(KernelError, match="trap") as caught:
        PtxModule(entry("trap;")).get_function("test")((1,), (1,), ())
    assert caught.value.file == "kernel.ptx"
    assert caught.value.line == 7


@pytest.mark.parametrize("length", [300, 5000])
def test_a_line_that_is_no_ptx_and_too_long_for_a_file(length):
    with pytest.raises(PtxError, match="neither PTX nor the name of a file"):
        PtxModule("{" * length)
