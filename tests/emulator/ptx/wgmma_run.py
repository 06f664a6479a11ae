"""Products of ``wgmma`` with operands laid out in shared memory by the ISA's canonical layouts."""

import numpy as np
from ptx_run import entry, run

#: Code of a descriptor's swizzle, by the bytes of a row of its pattern.
SWIZZLES = {0: 0, 128: 1, 64: 2, 32: 3}


def descriptor(start, leading=16, stride=1024, swizzle=0, base=0):
    """A matrix descriptor of sm_90."""
    fields = ((start >> 4) & 0x3FFF) | leading >> 4 << 16 | stride >> 4 << 32
    return fields | base << 49 | SWIZZLES[swizzle] << 62


def image(x: np.ndarray, swizzle: int, transposed: bool, leading: int, stride: int) -> np.ndarray:
    """The bytes of a matrix of M (or N) rows and 32 bytes of K, in pieces of 16 bytes."""
    piece = 16 // x.itemsize
    units = (x.T if transposed else x).copy().view(np.uint8)
    units = units.reshape(units.shape[0], -1, 16)  # lines of pieces
    width = max(swizzle // 16, 1)
    out = np.zeros(1 << 16, np.uint8)
    for line in range(units.shape[0]):
        for k in range(units.shape[1]):
            if not transposed:  # ((8, n), 2) : ((W, SBO), 1 or LBO)
                at = line % 8 * width * 16 + line // 8 * stride + k * (16 if swizzle else leading)
            elif swizzle:  # ((W, n), (8, k)) : ((1, LBO), (W, SBO))
                at = k % width * 16 + k // width * leading + line % 8 * swizzle + line // 8 * stride
            else:  # ((1, n), (8, k)) : ((X, SBO), (1, LBO))
                at = k * stride + line % 8 * 16 + line // 8 * leading
            at ^= (at >> 7 & (width - 1)) << 4
            out[at : at + 16] = units[line, k]
    assert piece * x.itemsize == 16
    return out


def registers(x: np.ndarray) -> np.ndarray:
    """A of 64 rows as the four registers of each thread."""
    out = np.zeros((128, 4), np.uint32)
    words = np.ascontiguousarray(x).view(np.uint32)  # 64 x 8
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        for r in range(4):
            out[thread, r] = words[16 * warp + lane // 4 + 8 * (r & 1), lane % 4 + 4 * (r >> 1)]
    return out


def matrix_of(d: np.ndarray, columns: int, dtype) -> np.ndarray:
    """D of 64 rows from the registers of each thread."""
    values = d.view(dtype)
    out = np.zeros((64, columns), dtype)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        for i in range(columns // 2):
            row = 16 * warp + lane // 4 + 8 * (i // 2 % 2)
            out[row, 8 * (i // 4) + lane % 4 * 2 + i % 2] = values[thread, i]
    return out


KERNEL = """
    .reg .b32 %r<16>; .reg .b32 %d<128>; .reg .b32 %a<4>; .reg .b64 %rd<16>; .reg .pred %p<8>;
    ld.param.u64 %rd1, [image]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [d];
    ld.param.u64 %rd4, [first]; ld.param.u64 %rd5, [second]; ld.param.u32 %r4, [add];
    mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; setp.ge.u32 %p1, %r1, 128; @%p1 bra copied;
copy:
    cvt.u64.u32 %rd6, %r2; add.u64 %rd7, %rd1, %rd6;
    ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd7];
    mov.u32 %r9, tile; add.u32 %r9, %r9, %r2;
    st.shared.v4.u32 [%r9], {%r5, %r6, %r7, %r8};
    add.u32 %r2, %r2, 2048; setp.lt.u32 %p1, %r2, BYTES; @%p1 bra copy;
copied:
    PROXY
    bar.sync 0;
    mad.wide.u32 %rd8, %r1, 16, %rd2; ld.global.v4.u32 {%a0, %a1, %a2, %a3}, [%rd8];
    mad.wide.u32 %rd9, %r1, STEP, %rd3;
    LOAD
    setp.ne.u32 %p2, %r4, 0;
    FENCE
    OPCODE LIST, FIRST, %rd5, %p2REST;
    wgmma.commit_group.sync.aligned;
    WAIT
    STORE
    ret;"""
PARAMETERS = (
    ".param .u64 image, .param .u64 a, .param .u64 d, .param .u64 first, .param .u64 second,"
    ".param .u32 add"
)


def product(
    opcode, memory, first, second, c, columns, dtype, *, a=None, add=1, rest="", checked=True,
    proxy="fence.proxy.async;", fence="wgmma.fence.sync.aligned;",
    wait="wgmma.wait_group.sync.aligned 0;", threads=128, **settings,
):  # fmt: skip
    """D of one ``wgmma`` with shared memory as given; A from registers where there is `a`."""
    d = np.zeros((threads, columns // 2 * np.dtype(dtype).itemsize // 4), np.uint32)
    if c is not None:
        values = d.view(dtype)
        for thread in range(128):
            warp, lane = divmod(thread, 32)
            for i in range(columns // 2):
                row = 16 * warp + lane // 4 + 8 * (i // 2 % 2)
                values[thread, i] = c[row, 8 * (i // 4) + lane % 4 * 2 + i % 2]
    count = d.shape[1]
    list = "{" + ", ".join(f"%d{k}" for k in range(count)) + "}"
    text = KERNEL
    for word, value in {
        "BYTES": str(memory.size),
        "STEP": str(4 * count),
        "LOAD": "".join(f"ld.global.u32 %d{k}, [%rd9+{4 * k}];\n" for k in range(count)),
        "STORE": "".join(f"st.global.u32 [%rd9+{4 * k}], %d{k};\n" for k in range(count)),
        "FIRST": "{%a0, %a1, %a2, %a3}" if a is not None else "%rd4",
        "OPCODE": opcode, "LIST": list, "REST": rest, "PROXY": proxy, "FENCE": fence, "WAIT": wait,
    }.items():  # fmt: skip
        text = text.replace(word, value)
    fragments = registers(a) if a is not None else np.zeros((128, 4), np.uint32)
    if threads > 128:
        fragments = np.resize(fragments, (threads, 4))
    args = (memory, fragments, d, np.uint64(first), np.uint64(second), np.uint32(add))
    text = entry(text, PARAMETERS, before=".extern .shared .align 1024 .b8 tile[];")
    run(text, args, block=threads, shared=memory.size, checked=checked, **settings)
    return matrix_of(d[:128].copy(), columns, dtype)
