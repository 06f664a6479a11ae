"""Layouts of structs that kernels take by value, against a compiler, and what is not understood."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pycnn.emulator import host
from pycnn.emulator.translate import USER_CODE, translate
from pycnn.runtime import catalogue, sources
from pycnn.runtime.structs import layout, struct

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
MACRO = re.compile(r"#define (\w+)\s((?:.*\\\n)*.*)")
WORD = re.compile(r"\w+")
OF_GPUS = re.compile(r"#ifndef PYCNN_EMULATOR\n.*?#endif", re.DOTALL)
SIGNATURE = re.compile(
    r"__global__ void __launch_bounds__\((?:[^()]|\([^()]*\))*\)"
    r"(?: __cluster_dims__\([^)]*\))?\s*(\w+)\(([^)]*)\)"
)
NUMBERS = {
    "int",
    "unsigned",
    "float",
    "unsigned long long",
    "index_t",
    "double",
    "scalar_t",
    "acc_t",
}

#: The kind of a member, as NumPy has it.
KIND = """
template <typename T> constexpr char kind_of() {
    using U = std::remove_all_extents_t<T>;
    return std::is_floating_point<U>::value ? 'f' : std::is_unsigned<U>::value ? 'u' : 'i';
}
"""


def taken_by_value(kernel: catalogue.KernelFile) -> set[str]:
    """The structs among the parameters of a file's entries."""
    text = COMMENT.sub(" ", sources.kernel_path(kernel.file).read_text())
    macros = dict(MACRO.findall(text))
    signatures = dict(SIGNATURE.findall(text))
    assert signatures.keys() == set(kernel.entries)
    found = set()
    for parameters in signatures.values():
        written = WORD.sub(lambda word: macros.get(word[0], word[0]), parameters)
        written = written.replace("\\\n", " ")
        for parameter in written.split(","):
            kind = parameter.rpartition(" ")[0].strip().removeprefix("const __grid_constant__ ")
            # The host makes a tensor map whole: nobody fills in its members.
            if "*" not in parameter and kind not in NUMBERS and "TensorMap" not in kind:
                found.add(kind)
    return found


def each_struct_once() -> dict[str, set[str]]:
    """Files, and structs that no file before them takes."""
    files: dict[str, set[str]] = {}
    known: set[int] = set()
    # Those of one architecture last: a compiler of the host does not know their instructions.
    for kernel in sorted(catalogue.load(), key=lambda kernel: kernel.arch is not None):
        for name in sorted(taken_by_value(kernel)):
            dtype = layout(kernel.file, name)
            if id(dtype) not in known:
                files.setdefault(kernel.file, set()).add(name)
            known.add(id(dtype))
    return files


STRUCTS = each_struct_once()


def read_by_a_host(file: str) -> list[Path]:
    """The file, or where it has instructions of a GPU the headers that define its structs."""
    path = sources.kernel_path(file)
    files = sources.closure(path)
    anywhere = all(kernel.arch is None for kernel in catalogue.load() if kernel.file == file)
    if anywhere and all("asm volatile" not in OF_GPUS.sub("", p.read_text()) for p in files):
        return [path]
    names = tuple(f"struct {name} {{" for name in STRUCTS[file])
    return [p for p in files if any(name in p.read_text() for name in names)]


def members(dtype: np.dtype, at: int = 0, path: str = "") -> Iterator[tuple[str, int, np.dtype]]:
    """Path, offset and dtype of every number or array of numbers; of arrays of structs the first
    and the last element."""
    for name in dtype.names or ():
        whole, offset = dtype.fields[name][:2]
        single, shape = whole.subdtype or (whole, ())
        if single.names is None:
            yield f"{path}{name}", at + offset, whole
            continue
        for i in {0, int(np.prod(shape, dtype=int)) - 1}:
            index = f"[{i}]" if shape else ""
            begin = at + offset + i * single.itemsize
            yield from members(single, begin, f"{path}{name}{index}.")


@pytest.mark.parametrize("file", STRUCTS)
def test_layouts_are_those_of_a_compiler(file, tmp_path):
    """Size, and place, size and kind of every member, by the compiler of the emulator."""
    try:
        compiler = host.compiler()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    claims = []
    for name in STRUCTS[file]:
        dtype = layout(file, name)
        claims.append(f"sizeof({name}) == {dtype.itemsize}")
        for path, offset, member in members(dtype):
            there = f"static_cast<{name}*>(nullptr)->{path}"
            claims += [
                f"__builtin_offsetof({name}, {path}) == {offset}",
                f"sizeof({there}) == {member.itemsize}",
                f"kind_of<decltype({there})>() == '{member.base.kind}'",
            ]
    flags = [*host.COMMON, *(f"-I{d}" for d in sources.include_dirs(emulator=True)), "-x", "c++"]
    main, translated = tmp_path / "main.cpp", tmp_path / "kernel.cpp"
    prelude = '#include "pycnn_emulator/prelude.h"'
    included = "".join(f'#include "{path}"\n' for path in read_by_a_host(file))
    main.write_text(f"{prelude}\n{USER_CODE}\n{included}")
    told = subprocess.run(
        [*compiler.command, *flags, "-E", main], capture_output=True, text=True, check=True
    )
    asserted = "".join(f'static_assert({claim}, "");\n' for claim in claims)
    translated.write_text(translate(told.stdout).text + KIND + asserted)
    done = subprocess.run(
        [*compiler.command, *flags, "-fsyntax-only", translated],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_lies_between_members_is_zero():
    """Plans, and predictions by what a launch is given, are compared by bytes."""
    file = next(f for f in STRUCTS for n in STRUCTS[f] if padded(layout(f, n)))
    name = next(n for n in STRUCTS[file] if padded(layout(file, n)))
    dtype = layout(file, name)
    zeros = np.zeros((), dtype)[()]
    used = [np.full(dtype.itemsize, 255, np.uint8) for _ in range(64)]
    del used  # so that what NumPy gives out next has been written to
    made = [struct(file, name, **{n: zeros[n] for n in dtype.names}) for _ in range(8)]
    assert {one.tobytes() for one in made} == {bytes(dtype.itemsize)}


def padded(dtype: np.dtype) -> bool:
    """Whether something lies between numbers, or behind the last."""
    return any(not name for name, *_ in dtype.descr)


def test_values_are_filled_in_by_name():
    axis = {"extent_x": 2, "extent_y": 3, "before": -4, "begin": 5, "end": 6}
    axes = [struct("pycnn/boundary.cuh", "PadAxis", **{**axis, "end": i}) for i in range(8)]
    numbers = {
        "rows": 1,
        "rows_per_block": 2,
        "step": -3,
        "first": 4,
        "staged": 5,
        "together": 8,
        "mode": 6,
        "outer": 7,
    }
    made = struct(
        "pycnn/boundary.cuh", "Padding", **numbers, row=axes[7], axis=axes[:7], stride=range(7)
    )
    assert {name: made[name] for name in numbers} == numbers
    assert made["row"].item() == (2, 3, -4, 5, 7)
    assert made["axis"]["end"].tolist() == made["stride"].tolist() == list(range(7))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parts": 1}, r"missing \['size'\], unknown \[\]"),
        (
            {"parts": 1, "sizes": 2},
            r"PartsParams of conv/sums.cu: missing \['size'\], unknown \['sizes'\]",
        ),
    ],
)
def test_no_field_is_forgotten_or_made_up(fields, words):
    with pytest.raises(TypeError, match=words):
        struct("conv/sums.cu", "PartsParams", **fields)


#: What is not understood, with the line of the first thing that is wrong.
REFUSED = {
    "alignment": (2, "struct alignas(16) S {\n    int a;\n};"),
    "base": (5, "struct B {\n    int b;\n};\nstruct S : B {\n    int a;\n};"),
    "packed": (2, "#pragma pack(1)\nstruct S {\n    int a;\n    double b;\n};"),
    "attribute": (4, "struct S {\n    int a;\n} __attribute__((packed));"),
    "attribute of a member": (3, "struct S {\n    int a __attribute__((aligned(16)));\n};"),
    "alignment of a member": (4, "struct S {\n    int b;\n    alignas(16) int a;\n};"),
    "bits": (3, "struct S {\n    int a : 3;\n};"),
    "pointer": (4, "struct S {\n    int b;\n    const int* a;\n};"),
    "reference": (3, "struct S {\n    int& a;\n};"),
    "initialiser": (3, "struct S {\n    int a = 3;\n};"),
    "braces": (3, "struct S {\n    int a{3};\n};"),
    "static": (3, "struct S {\n    static int a;\n};"),
    "constant": (3, "struct S {\n    static constexpr int A = 3;\n};"),
    "width that depends on the system": (3, "struct S {\n    long a;\n};"),
    "type of the compiled variant": (3, "struct S {\n    scalar_t a;\n};"),
    "type that nobody defines": (4, "struct S {\n    // of\n    Unheard a;\n};"),
    "enum": (4, "enum E { A };\nstruct S {\n    E a;\n};"),
    "nested": (3, "struct S {\n    struct { int b; } a;\n};"),
    "union": (3, "struct S {\n    union { int a; float b; };\n};"),
    "virtual": (4, "struct S {\n    int a;\n    __device__ virtual int f() { return a; }\n};"),
    "function of the host": (4, "struct S {\n    int a;\n    int f() { return a; }\n};"),
    "declared function": (4, "struct S {\n    int a;\n    __device__ int f();\n};"),
    "condition": (4, "struct S {\n    int a;\n#ifdef X\n    int b;\n#endif\n};"),
    "macro": (3, "struct S {\n    FIELDS(a, b)\n};"),
    "access": (3, "struct S {\n    public: int a;\n};"),
    "extent that nobody defines": (3, "struct S {\n    int a[N];\n};"),
    "sum as extent": (3, "struct S {\n    int a[2 + 1];\n};"),
    "octal extent": (3, "struct S {\n    int a[010];\n};"),
    "extent of two values": (
        6, "#ifdef X\nconstexpr int N = 3;\n#endif\nconstexpr int N = 4;\nstruct S { int a[N]; };"
    ),
    "computed constant": (3, "constexpr int N = 1 << 3;\nstruct S { int a[N]; };"),
    "two definitions": (
        5, "#ifdef X\nstruct S { int a; };\n#else\nstruct S { float a; };\n#endif"
    ),
    "template of types": (2, "template <typename T> struct S {\n    T a;\n};"),
    "template without arguments": (2, "template <int N> struct S {\n    int a[N];\n};"),
    "nothing": (2, "struct S {\n};"),
    "no end": (2, "struct S {\n    int a;\n"),
    "no semicolon": (3, "struct S {\n    int a };"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_an_error_with_file_and_line(line, text, tmp_path):
    header = tmp_path / "header.cuh"
    header.write_text(f"// a comment\n{text}\n")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(header))}:{line}: "):
        layout(str(header), "S")


def test_comments_and_functions_are_no_members(tmp_path):
    header = tmp_path / "header.cuh"
    header.write_text("""// a comment
constexpr int TWO = 2, N = 5;
struct Inner {
    float a; /* int b; */  // int c;
};
template <int M, int K>
struct S {
    unsigned long long a[M][K], b;  // { not a brace
    template <int I>
    __device__ __forceinline__ int f(int x) const {
#pragma unroll
        for (int i = 0; i < I; ++i) { x += '}' + "};"[0]; }
        return x;
    }
    Inner inner[N];
    int c;
};
""")
    found = layout(str(header), "S<TWO,3>")
    assert found == np.dtype(
        {
            "names": ["a", "b", "inner", "c"],
            "formats": [(np.uint64, (2, 3)), np.uint64, ([("a", np.float32)], 5), np.int32],
            "offsets": [0, 48, 56, 76],
            "itemsize": 80,
        }
    )
    with pytest.raises(ValueError, match="S takes 2 arguments, not 1"):
        layout(str(header), "S<3>")


def test_names_that_are_not_there():
    with pytest.raises(FileNotFoundError, match=r"no file 'pycnn/none\.cuh'"):
        layout("pycnn/none.cuh", "S")
    with pytest.raises(ValueError, match=r"neither it nor what it includes defines .* 'None'"):
        layout("pycnn/conv.cuh", "None")
    with pytest.raises(ValueError, match=r"defines a struct 'ConvParams<'"):
        layout("pycnn/conv.cuh", "ConvParams<")
