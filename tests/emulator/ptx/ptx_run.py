"""Run a few lines of PTX on every element of arrays."""

import numpy as np
import pytest

from pycnn.emulator import PtxModule

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")

BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])

#: Registers of every kind, as most tests need.
REGS = """
.reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<30>; .reg .b64 %rd<30>; .reg .f32 %f<9>;
.reg .f64 %fd<9>;
"""

HEAD = ".version 8.5\n.target sm_90a\n.address_size 64\n"


def entry(body: str, parameters: str = "", name: str = "test", before: str = "") -> str:
    """A module of one entry."""
    return f"{HEAD}{before}\n.visible .entry {name}({parameters})\n{{\n{body}\n}}\n"


def run(text, args=(), grid=1, block=1, shared=0, checked=True, name="test", **settings):
    """Launch an entry."""
    kernel = PtxModule(text, checked=checked, **settings).get_function(name)
    kernel((grid,), (block,), args, shared_mem=shared)


def each(
    code: str, result: np.dtype | type, *inputs: np.ndarray, checked: bool = False
) -> np.ndarray:
    """``%d`` as the lines of `code` make it of ``%a``, ``%b``, ``%c``: one thread an element.

    All registers are of type ``.b16``, ``.b32`` or ``.b64``, as some compilers write them.
    """
    inputs = tuple(np.ascontiguousarray(i) for i in np.broadcast_arrays(*inputs))
    result = np.dtype(result)
    size = inputs[0].size
    names = "abc"[: len(inputs)]
    lines = [
        ".reg .b64 %x<9>; .reg .b32 %i; .reg .pred %p<4>; .reg .b32 %t<9>; .reg .b64 %u<9>;",
        ".reg .b16 %h<9>;",
        *(f".reg .b{8 * max(i.itemsize, 2)} %{n};" for n, i in zip(names, inputs, strict=True)),
        f".reg .b{8 * max(result.itemsize, 2)} %d;",
        "mov.u32 %i, %tid.x;",
    ]
    for k, (n, i) in enumerate(zip(names, inputs, strict=True)):
        lines += [
            f"ld.param.u64 %x0, [p{k}];",
            f"mad.wide.u32 %x0, %i, {i.itemsize}, %x0;",
            f"ld.global.b{8 * i.itemsize} %{n}, [%x0];",
        ]
    lines += [
        code,
        "ld.param.u64 %x0, [out];",
        f"mad.wide.u32 %x0, %i, {result.itemsize}, %x0;",
        f"st.global.b{8 * result.itemsize} [%x0], %d;",
        "ret;",
    ]
    parameters = ", ".join(f".param .u64 p{k}" for k in range(len(inputs)))
    text = entry("\n".join(lines), f"{parameters}, .param .u64 out")
    kernel = PtxModule(text, checked=checked).get_function("test")
    kernel.optimise()  # which would show what the language of LLVM leaves undefined
    out = np.zeros(size, result)
    for start in range(0, size, 1024):
        part = [i.ravel()[start : start + 1024] for i in inputs]
        piece = out[start : start + 1024]
        kernel((1,), (piece.size,), (*part, piece))
    return out
