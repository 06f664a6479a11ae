"""Copies of boxes of a tensor: what lands where, against NumPy, and what is refused."""

import ctypes
import itertools

import numpy as np
import pytest
from ptx_run import BOTH, entry

from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    KernelAssertionError,
    MisalignedAccessError,
    OutOfBoundsError,
    ProxyFenceError,
    PtxError,
    PtxModule,
    tensor_map,
    tensor_map_im2col,
)

HEAD = """
.reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<40>; .reg .b64 %rd<30>;
.shared .align 8 .b8 bar[8];
ld.param.u64 %rd1, [y]; mov.b64 %rd2, map; mov.u32 %r1, %tid.x; mov.u32 %r2, tile; mov.u32 %r3, bar;
setp.ne.u32 %p1, %r1, 0;
"""
LOAD = (
    HEAD
    + """
@%p1 bra ready; mbarrier.init.shared.b64 [%r3], 1; fence.proxy.async;
mbarrier.arrive.expect_tx.shared.b64 _, [%r3], BYTES;
cp.async.bulk.tensor.DIMd.shared::cluster.global.MODE.mbarrier::complete_tx::bytes
    [%r2], [%rd2, {COORDINATES}], [%r3]OFFSETS;
ready: bar.sync 0;
wait: mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0; @!%p2 bra wait;
mov.u32 %r4, %r1;
more: setp.ge.u32 %p3, %r4, WORDS; @%p3 bra end;
mad.lo.u32 %r5, %r4, 4, %r2; ld.shared.u32 %r6, [%r5]; mad.wide.u32 %rd3, %r4, 4, %rd1;
st.global.u32 [%rd3], %r6; add.u32 %r4, %r4, 32; bra more;
end: ret;"""
)
STORE = (
    HEAD
    + """
mov.u32 %r4, %r1;
more: setp.ge.u32 %p3, %r4, WORDS; @%p3 bra filled;
mad.lo.u32 %r5, %r4, 4, %r2; mad.wide.u32 %rd3, %r4, 4, %rd1; ld.global.u32 %r6, [%rd3];
st.shared.u32 [%r5], %r6; add.u32 %r4, %r4, 32; bra more;
filled: fence.proxy.async.shared::cta; bar.sync 0;
@%p1 bra end;
OPERATION [%rd2, {COORDINATES}], [%r2];
cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;
end: ret;"""
)
BEFORE = ".extern .shared .align 1024 .b8 tile[];"
PARAMETERS = ".param .u64 y, .param .align 64 .b8 map[128]"


def launch(code, mapped, y, at, mode="tile", offsets=(), operation="", checked=True, **settings):
    text = (
        code.replace("BYTES", str(y.nbytes))
        .replace("WORDS", str(y.nbytes // 4))
        .replace("DIM", str(len(at)))
        .replace("MODE", mode)
        .replace("OPERATION", operation)
        .replace("COORDINATES", ", ".join(str(c) for c in at[::-1]))
        .replace("OFFSETS", f", {{{', '.join(map(str, offsets[::-1]))}}}" if offsets else "")
    )
    module = PtxModule(
        entry(text, PARAMETERS, before=BEFORE), checked=checked, timeout=20, **settings
    )
    module.get_function("test")((1,), (32,), (y, mapped), shared_mem=32768)
    return y


def swizzled(rows: np.ndarray, swizzle: int) -> np.ndarray:
    """Bytes as they lie in shared memory: chunks of 16 change places by their line of 128."""
    flat = np.ascontiguousarray(rows).view(np.uint8).reshape(-1)
    if not swizzle:
        return flat
    out = np.zeros_like(flat)
    mask = {32: 1, 64: 3, 128: 7}[swizzle]
    for chunk in range(flat.size // 16):
        place = chunk ^ (chunk >> 3 & mask)
        out[16 * place : 16 * place + 16] = flat[16 * chunk : 16 * chunk + 16]
    return out


def box_of(x: np.ndarray, at, box, steps, fill) -> np.ndarray:
    shape = [-(-b // s) for b, s in zip(box, steps, strict=True)]
    out = np.full(shape, fill, x.dtype)
    for index in itertools.product(*map(range, shape)):
        place = tuple(a + i * s for a, i, s in zip(at, index, steps, strict=True))
        if all(0 <= p < n for p, n in zip(place, x.shape, strict=True)):
            out[index] = x[place]
    return out


def numbers(shape, dtype) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 251 + 1).astype(dtype).reshape(shape)


TILES = [
    ((64,), np.float32, (16,), (8,), None, 0),
    ((64,), np.float32, (32,), (-8,), None, 128),
    ((20, 32), np.float16, (8, 16), (5, 8), None, 32),
    ((20, 32), np.float16, (8, 32), (-3, 0), None, 64),
    ((20, 64), np.float16, (16, 64), (10, 16), None, 128),
    ((20, 64), np.uint8, (16, 32), (2, 40), None, 32),
    ((6, 10, 16), np.float32, (2, 4, 8), (1, 7, 4), None, 32),
    ((6, 10, 16), np.float32, (3, 6, 8), (4, -2, -4), (1, 2, 1), 0),
    ((3, 6, 10, 8), np.float64, (2, 4, 6, 8), (1, 3, 5, 0), (1, 2, 3, 1), 64),
    ((2, 3, 6, 10, 8), np.int32, (2, 2, 3, 4, 8), (0, 2, 4, 7, 2), None, 32),
]


@BOTH
@pytest.mark.parametrize(("shape", "dtype", "box", "at", "steps", "swizzle"), TILES)
def test_tiles_land_where_they_should(shape, dtype, box, at, steps, swizzle, checked):
    x = numbers(shape, dtype)
    want = box_of(x, at, box, steps or (1,) * len(box), 0)
    y = np.zeros(want.nbytes, np.uint8)
    launch(LOAD, tensor_map(x, box, element_strides=steps, swizzle=swizzle), y, at, checked=checked)
    np.testing.assert_array_equal(y, swizzled(want, swizzle))


def test_beyond_the_tensor_may_be_nan():
    for dtype in (np.float16, np.float32, np.float64):
        x = numbers((8, 16), dtype)
        y = np.zeros((8, 16), dtype)
        launch(LOAD, tensor_map(x, (8, 16), fill="nan"), y, (4, -8))
        want = box_of(x, (4, -8), (8, 16), (1, 1), np.nan)
        np.testing.assert_array_equal(y, want)


@BOTH
@pytest.mark.parametrize(("shape", "dtype", "box", "at", "steps", "swizzle"), TILES)
def test_tiles_are_stored_where_they_should(shape, dtype, box, at, steps, swizzle, checked):
    x = np.zeros(shape, dtype)
    tile = numbers([-(-b // s) for b, s in zip(box, steps or (1,) * len(box), strict=True)], dtype)
    y = swizzled(tile, swizzle)
    mapped = tensor_map(x, box, element_strides=steps, swizzle=swizzle)
    operation = f"cp.async.bulk.tensor.{len(box)}d.global.shared::cta.tile.bulk_group"
    launch(STORE, mapped, y, at, operation=operation, checked=checked)
    want = np.zeros(shape, dtype)
    for index in np.ndindex(tile.shape):
        place = tuple(
            a + i * s for a, i, s in zip(at, index, steps or (1,) * len(box), strict=True)
        )
        if all(0 <= p < n for p, n in zip(place, shape, strict=True)):
            want[place] = tile[index]
    np.testing.assert_array_equal(x, want)


@BOTH
@pytest.mark.parametrize(
    ("operation", "dtype", "function"),
    [("add", np.float32, np.add), ("min", np.int32, np.minimum), ("max", np.float16, np.maximum),
     ("xor", np.uint32, np.bitwise_xor)],
)  # fmt: skip
def test_reductions_into_a_tensor(operation, dtype, function, checked):
    x = numbers((8, 16), dtype)[::-1].copy()
    before = x.copy()
    tile = numbers((4, 16), dtype) * dtype(3)
    code = f"cp.reduce.async.bulk.tensor.2d.global.shared::cta.{operation}.tile.bulk_group"
    y = swizzled(tile, 0)
    launch(STORE, tensor_map(x, (4, 16)), y, (6, 0), operation=code, checked=checked)
    before[6:] = function(before[6:], tile[:2])
    np.testing.assert_array_equal(x, before)


def columns_of(x, at, lower, upper, channels, pixels, steps, offsets):
    """The pixels of im2col one after another, as the programming guide describes them."""
    *place, c = at
    spatial = len(place) - 1
    out = np.zeros((pixels, channels), x.dtype)
    for row in out:
        pixel = [place[0], *(p + o for p, o in zip(place[1:], offsets, strict=True))]
        if all(0 <= p < n for p, n in zip(pixel, x.shape, strict=False)):
            for k in range(channels):
                if 0 <= c + k < x.shape[-1]:
                    row[k] = x[(*pixel, c + k)]
        for d in range(spatial, 0, -1):
            place[d] += steps[d]
            if place[d] < x.shape[d] + upper[d - 1]:
                break
            place[d] = lower[d - 1]
        else:
            place[0] += 1
    return out


COLUMNS = [
    # shape, lower, upper, channels, pixels, steps, at, offsets: 3x3 convolutions and others
    ((2, 6, 7, 8), (-1, -1), (-1, -1), 8, 64, None, (0, -1, -1, 0), (0, 2)),
    ((2, 6, 7, 8), (-1, -1), (-1, -1), 8, 50, None, (0, 3, 2, 0), (1, 1)),
    ((2, 6, 8, 16), (-1, -1), (-2, -2), 8, 24, (1, 2, 2, 1), (0, -1, -1, 8), (2, 1)),
    ((3, 9, 8), (-2,), (-2,), 8, 16, None, (1, 4, 0), (3,)),
    ((2, 3, 4, 5, 8), (0, -1, -1), (-1, -1, -1), 8, 40, None, (0, 0, -1, 1, 0), (1, 0, 2)),
]


@BOTH
@pytest.mark.parametrize(
    ("shape", "lower", "upper", "channels", "pixels", "steps", "at", "offsets"), COLUMNS
)
def test_columns_of_images(shape, lower, upper, channels, pixels, steps, at, offsets, checked):
    x = numbers(shape, np.float32)
    mapped = tensor_map_im2col(x, lower, upper, channels, pixels, element_strides=steps, swizzle=32)
    y = np.zeros(pixels * channels * 4, np.uint8)
    launch(LOAD, mapped, y, at, "im2col", offsets, checked=checked)
    want = columns_of(x, at, lower, upper, channels, pixels, steps or (1,) * len(shape), offsets)
    np.testing.assert_array_equal(y, swizzled(want, 32))


@BOTH
def test_columns_are_stored_without_offsets(checked):
    x = np.zeros((2, 4, 5, 8), np.float32)
    tile = numbers((24, 8), np.float32)
    mapped = tensor_map_im2col(x, (0, 0), (0, 0), 8, 24)
    operation = "cp.async.bulk.tensor.4d.global.shared::cta.im2col_no_offs.bulk_group"
    launch(STORE, mapped, swizzled(tile, 0), (0, 1, 0, 0), operation=operation, checked=checked)
    np.testing.assert_array_equal(x.reshape(-1, 8)[5:29], tile)
    assert not x.reshape(-1, 8)[:5].any()
    assert not x.reshape(-1, 8)[29:].any()


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        ("@!%p2 bra wait;", "", AsyncCopyError, "read by thread"),
        ("_, [%r3], BYTES", "_, [%r3], 1024", DeadlockError, "512 bytes have not come"),
        ("[%r2], [%rd2", "[%r2+64], [%rd2", MisalignedAccessError, "64 past a multiple of 128"),
        ("[%r2], [%rd2", "[%r2+32512], [%rd2", OutOfBoundsError, "write of"),
        ("[%rd2, {", "[%rd2+32, {", MisalignedAccessError, "32 past a multiple of 64"),
        ("mov.b64 %rd2, map", "and.b64 %rd2, %rd1, -64", KernelAssertionError, "no tensor map"),
        ("DIMd", "3d", PtxError, "3 coordinates in braces"),
    ],
)  # fmt: skip
def test_loads_need_each_part(old, new, error, match):
    x, y = numbers((20, 32), np.float16), np.zeros(512, np.uint8)
    assert LOAD.count(old) == 1
    with pytest.raises(error, match=match):
        launch(LOAD.replace(old, new), tensor_map(x, (8, 32)), y, (0, 0))


def test_stores_need_their_fence():
    x, y = np.zeros((8, 16), np.float32), np.zeros((8, 16), np.float32)
    operation = "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group"
    code = STORE.replace("fence.proxy.async.shared::cta;", "")
    with pytest.raises(ProxyFenceError):
        launch(code, tensor_map(x, (8, 16)), y, (0, 0), operation=operation)


def test_maps_that_do_not_fit_the_instruction():
    x, y = numbers((2, 6, 7, 8), np.float32), np.zeros(256, np.uint8)
    with pytest.raises(KernelAssertionError, match="4 dimensions by a tensor map of 3"):
        launch(LOAD, tensor_map(x[0], (1, 8, 8)), y, (0, 0, 0, 0))
    with pytest.raises(KernelAssertionError, match="a tile by a tensor map that is of im2col"):
        launch(LOAD, tensor_map_im2col(x, (0, 0), (0, 0), 8, 8), y, (0, 0, 0, 0))
    with pytest.raises(KernelAssertionError, match=r"of .im2col by a tensor map that is tiled"):
        launch(LOAD, tensor_map(x, (1, 1, 8, 8)), y, (0, 0, 0, 0), "im2col", (0, 0))
    with pytest.raises(PtxError, match="2 offsets in braces"):
        launch(LOAD, tensor_map(x, (1, 1, 8, 8)), y, (0, 0, 0, 0), "im2col", (0,))


HALF = np.zeros((64, 64), np.float16)
IMAGES = np.zeros((2, 4, 4, 8))
REFUSED = [
    (lambda: tensor_map(HALF, (8,)), "box=.*allowed: 2 ints from 1 to 256"),
    (lambda: tensor_map(HALF, (8, 257)), "from 1 to 256"),
    (lambda: tensor_map(HALF, (0, 8)), "from 1 to 256"),
    (lambda: tensor_map(HALF, (8, 4)), "8 bytes of the last axis; allowed: multiples of 16"),
    (lambda: tensor_map(HALF, (8, 64), swizzle=64), "128 bytes .*allowed: 64 with swizzle=64"),
    (lambda: tensor_map(HALF, (8, 64), swizzle=16), "allowed: 0, 32, 64, 128"),
    (lambda: tensor_map(HALF, (8, 64), fill="ones"), "allowed: zeros, nan"),
    (lambda: tensor_map(HALF, (8, 64), element_strides=(9, 1)), "2 ints from 1 to 8"),
    (lambda: tensor_map(HALF.view(np.int16), (8, 64), fill="nan"), "goes with floating types"),
    (lambda: tensor_map(HALF.T[:, :4], (8, 8)), "last axis of the array must be contiguous"),
    (lambda: tensor_map(HALF[:, :63][:, 1:], (8, 8)), "2 bytes past a multiple of 16"),
    (lambda: tensor_map(np.zeros((8, 9), np.float16), (8, 8)), r"strides of \(18,\) bytes"),
    (lambda: tensor_map(HALF, (8, 8), dtype="float32"), "has 4 bytes, the array's 2"),
    (lambda: tensor_map(HALF.astype(np.complex64), (8, 8)), "dtype='complex64'; allowed: uint8"),
    (lambda: tensor_map(np.zeros((1,) * 6 + (8,)), (1,) * 6 + (8,)), "7 axes; allowed: 1 to 5"),
    (lambda: tensor_map_im2col(HALF, (), (), 8, 8), "2 axes; allowed: 3 to 5"),
    (lambda: tensor_map_im2col(IMAGES, (-129, 0), (0, 0), 8, 8), "from -128 to 127"),
    (lambda: tensor_map_im2col(IMAGES, (0, 0), (0,), 8, 8), "upper=.*2 ints"),
    (lambda: tensor_map_im2col(IMAGES, (0, 0), (0, 0), 8, 1025), "1 int from 1 to"),
    (lambda: tensor_map_im2col(IMAGES, (0, 0), (0, 0), 257, 8), "channels="),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_the_driver_would_refuse(case):
    make, match = REFUSED[case]
    with pytest.raises(ValueError, match=match):
        make()


#: A map in global memory, of which a thread changes a field before it is used.
CHANGED = LOAD.replace("mov.b64 %rd2, map;", "ld.param.u64 %rd2, [map];").replace(
    "@%p1 bra ready;", "@%p1 bra ready; mov.b32 %r20, VALUE; "
    "tensormap.replace.tile.FIELD.global.b1024.b32 [%rd2], %r20;", 1
)  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("interleave_layout", 0, None),
        ("interleave_layout", 1, "interleaved layout, which is not there"),
        ("swizzle_mode", 4, "a swizzle that is none of 0 to 3"),
        ("elemtype", 99, "elements of no type"),
        ("rank", 3, "a copy of 2 dimensions by a tensor map of 4"),
        ("box_dim", 0, "a box without elements"),
        ("element_stride", 0, "an element stride that is none of 1 to 8"),
    ],
)
@BOTH
def test_a_map_that_a_kernel_changed_must_mean_something(field, value, match, checked):
    x, y = numbers((8, 8), np.float32), np.zeros((4, 8), np.float32)
    of_dimension = field in ("box_dim", "element_stride")
    code = CHANGED.replace("FIELD", field).replace("VALUE", str(value))
    if of_dimension:
        code = code.replace("[%rd2], %r20", "[%rd2], 1, %r20")
    text = code
    for name, number in {"BYTES": 128, "WORDS": 32, "DIM": 2, "MODE": "tile", "COORDINATES": "0, 2",
                         "OFFSETS": ""}.items():  # fmt: skip
        text = text.replace(name, str(number))
    memory = np.zeros(128 + 64, np.uint8)
    start = memory.__array_interface__["data"][0] + 63 & -64
    maps = np.ctypeslib.as_array((ctypes.c_uint8 * 128).from_address(start))
    maps[:] = np.frombuffer(tensor_map(x, (4, 8)).data, np.uint8)
    module = PtxModule(
        entry(text, ".param .u64 y, .param .u64 map", before=BEFORE), checked=checked, timeout=20
    )
    kernel = module.get_function("test")
    if match is None:
        if checked:
            return  # it sees that x is no argument
        kernel((1,), (32,), (y, maps), shared_mem=32768)
        np.testing.assert_array_equal(y, x[2:6])
        return
    with pytest.raises(KernelAssertionError, match=match):
        kernel((1,), (32,), (y, maps), shared_mem=32768)


#: Thread 0 makes the barrier and thread 32 has a box loaded; FIRST and LAST are of thread 0, before
#: the block synchronises and behind that.
OTHERS_LOAD = (
    HEAD
    + """
@%p1 bra made; mbarrier.init.shared.b64 [%r3], 1; FIRST
made: bar.sync 0; @%p1 bra next; LAST
next: setp.ne.u32 %p2, %r1, 32; @%p2 bra wait;
mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 128;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
    [%r2], [%rd2, {0, 0}], [%r3];
wait: mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0; @!%p2 bra wait;
@%p1 bra end; ld.shared.u32 %r6, [%r2]; st.global.u32 [%rd1], %r6;
end: ret;"""
)
INIT_FENCE = "fence.mbarrier_init.release.cluster;"


@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:1", "random:2"])
@pytest.mark.parametrize(
    ("first", "last", "right"),
    [
        (INIT_FENCE, "", True),
        ("fence.proxy.async;", "", True),
        ("fence.proxy.async.shared::cta;", "", True),
        ("", "", False),
        ("fence.acq_rel.cluster;", "", False),
        ("", INIT_FENCE, False),
        ("", "fence.proxy.async;", False),
    ],
)
def test_a_barrier_is_there_for_a_tensor_copy_behind_a_fence_only(first, last, right, schedule):
    x, y = numbers((8, 8), np.float32), np.zeros(1, np.float32)
    code = OTHERS_LOAD.replace("FIRST", first).replace("LAST", last)
    module = PtxModule(
        entry(code, PARAMETERS, before=BEFORE), checked=True, timeout=20, schedule=schedule
    )
    kernel = module.get_function("test")
    if right:
        kernel((1,), (64,), (y, tensor_map(x, (4, 8))), shared_mem=1024)
        assert y == x[0, 0]
    else:
        with pytest.raises(ProxyFenceError, match="that thread 0 has written, with no fence") as e:
            kernel((1,), (64,), (y, tensor_map(x, (4, 8))), shared_mem=1024)
        assert e.value.thread == (32, 0, 0)


def test_an_interleaved_layout_is_refused_with_its_line():
    line = "tensormap.replace.tile.interleave_layout.global.b1024.b32 [%rd1], 1;"
    text = entry(f".reg .b64 %rd1;\nld.param.u64 %rd1, [x];\n{line}\nret;", ".param .u64 x")
    with pytest.raises(PtxError, match="interleaved layout is not there") as caught:
        PtxModule(text).get_function("test")
    assert text.splitlines()[caught.value.line - 1] == line
