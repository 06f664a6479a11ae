"""NVRTC: cubins with no GPU, through the cache, and errors that point into the file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pycnn.runtime import nvrtc
from pycnn.runtime.errors import CompileError
from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.runtime.flags import NVRTC_FLAGS

Write = Callable[[str, str], Path]

SCALE = """#include <value.cuh>
extern "C" __global__ void scale(SCALAR* x) { x[threadIdx.x] *= VALUE; }
"""
DEFINES = (("SCALAR", "double"),)


@pytest.mark.parametrize("arch", ["sm_75", "sm_90a", "sm_120"])
def test_a_kernel_compiles_for_an_architecture_with_no_gpu(
    write_kernel: Write, cache_dir: Path, needs_nvrtc: None, arch: str
) -> None:
    write_kernel("include/value.cuh", "#define VALUE 2")
    write_kernel("f/scale.cu", SCALE)
    cubin = nvrtc.compile_kernel("f/scale.cu", arch, DEFINES).read_bytes()
    assert cubin[:4] == b"\x7fELF"
    assert b".text.scale\0" in cubin


def test_a_cubin_is_compiled_again_only_when_something_it_depends_on_changes(
    write_kernel: Write, cache_dir: Path, needs_nvrtc: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    original = nvrtc.compile_text

    def counting(*arguments: Any) -> nvrtc.Compiled:
        compiled.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(nvrtc, "compile_text", counting)
    write_kernel("include/value.cuh", "#define VALUE 2")
    write_kernel("f/scale.cu", SCALE)
    first = nvrtc.compile_kernel("f/scale.cu", "sm_80", DEFINES)
    assert nvrtc.compile_kernel("f/scale.cu", "sm_80", DEFINES) == first
    assert len(compiled) == 1
    others = {
        nvrtc.compile_kernel("f/scale.cu", "sm_86", DEFINES),
        nvrtc.compile_kernel("f/scale.cu", "sm_80", (("SCALAR", "float"),)),
        nvrtc.compile_kernel("f/scale.cu", "sm_80", DEFINES, ("-lineinfo",)),
    }
    write_kernel("include/value.cuh", "#define VALUE 3.5")
    others.add(nvrtc.compile_kernel("f/scale.cu", "sm_80", DEFINES))
    assert len(others - {first}) == 4
    assert len(compiled) == 5


def test_the_order_of_macros_is_no_other_kernel(
    write_kernel: Write, cache_dir: Path, needs_nvrtc: None
) -> None:
    write_kernel("f/k.cu", 'extern "C" __global__ void k(int* x) { *x = ONE - TWO; }')
    one, two = ("ONE", "1"), ("TWO", "2")
    first = nvrtc.compile_kernel("f/k.cu", "sm_80", (one, two))
    assert nvrtc.compile_kernel("f/k.cu", "sm_80", (two, one)) == first


def test_an_error_names_file_line_and_architecture(
    write_kernel: Write, cache_dir: Path, needs_nvrtc: None
) -> None:
    path = write_kernel("f/bad.cu", 'extern "C" __global__ void bad() {\n    undeclared = 1;\n}\n')
    with pytest.raises(CompileError) as error:
        nvrtc.compile_kernel("f/bad.cu", "sm_80")
    assert f'{path}(2): error: identifier "undeclared" is undefined' in error.value.log
    assert str(error.value).startswith(f"{path} does not compile for sm_80:\n")
    assert not any(cache_dir.iterdir())


def test_an_error_in_a_header_names_the_header(
    write_kernel: Write, cache_dir: Path, needs_nvrtc: None
) -> None:
    header = write_kernel("include/bad.cuh", "\n\nint f() { return missing; }\n")
    write_kernel("f/k.cu", '#include <bad.cuh>\nextern "C" __global__ void k() {}\n')
    with pytest.raises(CompileError, match=r"bad\.cuh\(3\): error") as error:
        nvrtc.compile_kernel("f/k.cu", "sm_80")
    assert str(header) in error.value.log


def test_source_text_compiles_under_the_name_given(needs_nvrtc: None) -> None:
    done = nvrtc.compile_text('extern "C" __global__ void k() {}', "given", "sm_80")
    assert done.cubin[:4] == b"\x7fELF"
    with pytest.raises(CompileError, match=r"given\(1\): error"):
        nvrtc.compile_text("nonsense", "given", "sm_80")


def test_cuda_headers_of_the_wheels_are_found(needs_nvrtc: None) -> None:
    if not nvrtc.cuda_include_dirs():
        pytest.skip("no CUDA headers here: pip install -e '.[compile]'")
    text = '#include <cuda_fp16.h>\nextern "C" __global__ void k(__half* x) { *x = __hneg(*x); }'
    assert nvrtc.compile_text(text, "half", "sm_80").cubin


def test_division_is_ieee_and_products_contract(needs_nvrtc: None) -> None:
    """The flags as the machine code shows them: fast division would have no slow path to call."""
    text = """
    extern "C" __global__ void divide(float* x) { x[0] = x[1] / x[2]; }
    extern "C" __global__ void multiply_add(float* x) { x[0] = x[1] * x[2] + x[3]; }
    """
    ptx = _ptx(text)
    assert "div.rn.f32" in ptx
    assert "fma.rn.f32" in ptx
    assert ".ftz" not in ptx
    assert ".approx" not in ptx


def _ptx(text: str) -> str:
    """PTX of `text` with pycnn's flags."""
    api = import_extra("cuda.bindings.nvrtc", "compile", "a test")
    _, program = api.nvrtcCreateProgram(text.encode(), b"text", 0, [], [])
    flags = [flag.encode() for flag in ("-arch=compute_80", *NVRTC_FLAGS)]
    assert api.nvrtcCompileProgram(program, len(flags), flags)[0] == 0
    buffer = bytearray(api.nvrtcGetPTXSize(program)[1])
    api.nvrtcGetPTX(program, buffer)
    api.nvrtcDestroyProgram(program)
    return buffer.decode()


def test_an_unknown_architecture_lists_those_there_are(needs_nvrtc: None) -> None:
    with pytest.raises(ValueError, match=r"arch='sm_10': NVRTC \d+\.\d+ compiles for sm_75, "):
        nvrtc.compile_text("", "empty", "sm_10")


def test_architecture_variants_exist_from_sm_90_on(needs_nvrtc: None) -> None:
    archs = nvrtc.supported_archs()
    assert {"sm_80", "sm_90", "sm_90a"} <= set(archs)
    assert "sm_80a" not in archs


def test_without_the_bindings_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)  # an import of it fails
    nvrtc._nvrtc.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"pip install .*\[compile\]'"):
            nvrtc.version()
    finally:
        nvrtc._nvrtc.cache_clear()


@pytest.mark.parametrize("option", ["--device-debug", "-G"])
def test_device_debugging_is_refused(needs_nvrtc: None, option: str) -> None:
    """It would change what the process compiles afterwards."""
    with pytest.raises(ValueError, match=f"option {option}: .*allowed: -lineinfo"):
        nvrtc.compile_text('extern "C" __global__ void k() {}', "k", "sm_80", options=(option,))
