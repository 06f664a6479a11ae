"""Kernels that call every function of CUDA's headers, and what of their PTX is not there.

``python tests/emulator/ptx/header_calls.py sm_75 sm_80 sm_90a sm_120a`` lists it.
"""

import re
import sys

from pycnn.emulator.ptx.parse import parse
from pycnn.emulator.ptx.statements import body
from pycnn.emulator.ptx.syntax import Instruction
from pycnn.emulator.ptx.table import find
from pycnn.runtime import nvrtc
from pycnn.runtime.errors import CompileError

#: Headers of formats, which are included, and those of functions that the compiler has built in.
FORMATS = ("cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h", "cuda_fp6.h", "cuda_fp4.h")
BUILT_IN = (
    "crt/device_functions.h", "crt/math_functions.h", "crt/device_double_functions.h",
    "sm_20_intrinsics.h", "sm_32_intrinsics.h", "sm_61_intrinsics.h", "crt/sm_80_rt.h",
    "crt/sm_90_rt.h", "device_atomic_functions.h", "sm_32_atomic_functions.h",
    "sm_60_atomic_functions.h",
)  # fmt: skip
_DECLARATION = re.compile(
    r"__(?:[A-Z0-9_]+_DECL__|device__)\s+(?:__device_builtin__\s+)?"
    r"((?:const )?[a-zA-Z_][\w ]*?[\s*]+)(\w+)\s*\(([^(){}]*)\)"
)
_HALF_A_TYPE = ("", "unsigned", "long", "unsigned long", "long long")


def _type(parameter: str) -> str:
    """Of a parameter, whose name may be missing."""
    plain = parameter.partition("=")[0].replace("const ", "").strip()
    found = re.match(r"(.*?)\w+$", plain)
    type = found[1].strip() if found else ""
    return plain if type in _HALF_A_TYPE else type


def kernels(header: str) -> list[str]:
    """Of each function that a header declares, a kernel on a line that calls it."""
    text = (nvrtc.cuda_include_dirs()[0] / header).read_text()
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    lines = []
    for result, name, parameters in _DECLARATION.findall(text):
        types = [_type(p) for p in parameters.split(",") if p.strip() not in ("", "void")]
        arguments = ", ".join(
            f"({t})(x + {16 * k})" if t.endswith("*") else f"*(const {t}*)(x + {16 * k})"
            for k, t in enumerate(types)
        )
        call = f"{name}({arguments})"
        if result.strip() != "void":
            call = f"*({result.strip()}*)y = {call}"
        lines.append(
            f'extern "C" __global__ void call_{len(lines)}_{name}(char* x, char* y) {{ {call}; }}'
        )
    return lines


def compiled(header: str, arch: str) -> str:
    """The PTX of those kernels that the compiler takes."""
    lines = kernels(header)
    head = f"#include <{header}>" if header in FORMATS else ""
    for _ in range(20):
        try:
            return nvrtc.compile_ptx("\n".join([head, *lines]), "h.cu", arch, [], []).text
        except CompileError as error:
            bad = {int(n) - 2 for n in re.findall(r"h\.cu\((\d+)\): error", str(error))}
            if not bad:
                raise
            lines = [line for k, line in enumerate(lines) if k not in bad]
    raise AssertionError(f"{header} does not compile")


def refused(text: str) -> dict[str, str]:
    """Opcodes of a PTX text that are not there, and the first function that has each."""
    module = parse(text, "h.ptx")
    found: dict[str, str] = {}
    for function in module.functions.values():
        if function.begin < 0:
            continue
        for s in body(module, function).statements:
            if isinstance(s, Instruction) and isinstance(find(s.opcode), str):
                found.setdefault(s.opcode, function.name)
    return found


if __name__ == "__main__":
    for name in (*FORMATS, *BUILT_IN):
        for target in sys.argv[1:] or ["sm_90a"]:
            ptx = compiled(name, target)
            print(f"{name} {target}: {ptx.count('.visible .entry')} functions")
            for opcode, function_name in refused(ptx).items():
                print(f"    {opcode} of {function_name}")
