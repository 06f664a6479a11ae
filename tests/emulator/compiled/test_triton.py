"""Triton's own launcher on the emulator; `test_compiled_ptx` runs what it compiles without it."""

import json
import sys

import numpy as np
import pytest
from compiled_cases import CASES

from pycnn.emulator import KernelError, OutOfBoundsError, RaceError, counting

pytest.importorskip("triton", reason="needs the extra 'triton'")
pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")

import triton
import triton.language as tl
import triton_kernels

from pycnn.emulator.triton import use

ARCHS = pytest.mark.parametrize("arch", [80, 90])


def numbers(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.arange(n, dtype=np.float32)
    return x, 2 * x, np.zeros_like(x)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.maker == "triton"], ids=lambda case: case.name
)
@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
def test_kernels_on_numpy_arrays(case, checked):
    arguments = case.arguments()
    triton.set_allocator(lambda size, alignment, stream: np.zeros(size, np.int8))
    with use(case.arch, checked=checked, same_value_races=False):
        getattr(triton_kernels, case.kernel)[case.grid](*arguments.values(), **case.options)
    case.check(arguments)


@pytest.mark.parametrize("name", ["add", "softmax", "matmul_tf32", "matmul_wgmma", "matmul_tma"])
@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
def test_a_program_of_two_blocks(name, checked):
    """``num_ctas=2``: the blocks of a cluster, by whose barrier and memory they reduce."""
    [case] = [case for case in CASES if case.name == name]
    arguments = case.arguments()
    triton.set_allocator(lambda size, alignment, stream: np.zeros(size, np.int8))
    with use(90, checked=checked, same_value_races=False):
        compiled = getattr(triton_kernels, case.kernel)[case.grid](
            *arguments.values(), **case.options, num_ctas=2
        )
    assert "%cluster_ctarank" in compiled.asm["ptx"]
    case.check(arguments)


@ARCHS
def test_tensors_of_pytorch_and_the_traffic(arch):
    torch = pytest.importorskip("torch", reason="PyTorch's CPU build is not installed")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        x = torch.arange(256, dtype=dtype)
        base = torch.zeros(600, dtype=dtype)
        out = base[100:356]
        with use(arch, checked=True), counting() as counted:
            triton_kernels.add[(2,)](x, x, out, 256, BLOCK=128)
        torch.testing.assert_close(out, x + x)
        assert not base[:100].any()
        assert not base[356:].any()
        assert counted.entries == ["add"]
        # x is both inputs, which share their bytes.
        assert counted.total.bytes_necessary == 2 * 256 * x.element_size()


def test_a_report_names_the_line_of_the_kernel():
    x, y, out = numbers(1000)
    with use(checked=True), pytest.raises(OutOfBoundsError) as caught:
        triton_kernels.add[(4,)](x, y, out[:999].copy(), 1000, BLOCK=256)
    assert caught.value.file == triton_kernels.__file__
    with open(caught.value.file) as file:
        assert "tl.store(out" in file.read().splitlines()[caught.value.line - 1]
    assert "argument out (float32[999])" in caught.value.array


@triton.jit
def unordered(x, out, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out + at, tl.load(x + at))
    tl.store(x + at, tl.load(out + (BLOCK - 1 - at)))  # other threads wrote these


def test_a_race_between_the_threads_of_a_program():
    x, _, out = numbers(128)
    with use(checked=True), pytest.raises(RaceError):
        unordered[(1,)](x, out, BLOCK=128)


def test_a_switch_and_a_block_within_another():
    x, y, out = numbers(100)
    outer = use(80)
    assert triton.runtime.driver.active.get_current_target().arch == 80
    with use(90, checked=True) as inner:
        assert triton.runtime.driver.active.get_current_target().arch == 90
        compiled = triton_kernels.add[(1,)](x, y, out, 100, BLOCK=128)
        assert ".target sm_90a" in compiled.asm["ptx"]
    del inner
    assert triton.runtime.driver.active.get_current_target().arch == 80
    compiled = triton_kernels.add[(1,)](x, y, out, 100, BLOCK=128)
    assert ".target sm_80" in compiled.asm["ptx"]
    assert 8 <= compiled.n_regs < 64
    assert compiled.n_max_threads >= 128
    outer.__exit__(None, None, None)
    if not any(b.driver.is_active() for b in triton.backends.backends.values()):
        with pytest.raises(RuntimeError, match="0 active drivers"):
            triton_kernels.add[(1,)](x, y, out, 100, BLOCK=128)


ran: list[int] = []


def test_autotune_runs_each_configuration_once():
    tuned = triton.autotune(
        [triton.Config({"BLOCK": block}, num_warps=w) for block, w in ((64, 2), (32, 1), (128, 4))],
        key=["n"],
    )(triton_kernels.add)
    x, y, out = numbers(100)
    with use(), counting() as counted:
        tuned[lambda meta: (triton.cdiv(100, meta["BLOCK"]),)](x, y, out, 100)
    np.testing.assert_array_equal(out, 3 * x)
    assert len(counted.entries) == 3 + 1
    assert tuned.best_config.kwargs == {"BLOCK": 64}


def test_do_bench_ends_and_gives_a_time():
    x, y, out = numbers(100)
    with use():
        times = triton.testing.do_bench(
            lambda: triton_kernels.add[(1,)](x, y, out, 100, BLOCK=128), warmup=1, rep=1
        )
    assert times > 0


@triton.heuristics({"BLOCK": lambda a: triton.next_power_of_2(a["n"])})
@triton.jit
def odd(values, out, n, BLOCK: tl.constexpr):
    x, factor = values
    at = tl.arange(0, BLOCK)
    tl.store(out + at, tl.load(x + at, mask=at < n, other=0) * factor, mask=at < n)


def test_tuples_heuristics_and_an_empty_grid():
    x, _, out = numbers(100)
    with use(checked=True):
        odd[(0,)]((x, 3.0), out, 100)
        assert not out.any()
        odd[(1,)]((x, 3.0), out, 100)
    np.testing.assert_array_equal(out, 3 * x)


@triton.jit
def through_descriptors(source, out, BLOCK: tl.constexpr):
    out.store([0, 0], source.load([0, 0]) * 2)


@ARCHS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_descriptors_of_the_host(arch, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch's CPU build is not installed")
    from triton.tools.tensor_descriptor import TensorDescriptor

    x = torch.arange(256).reshape(16, 16).to(getattr(torch, dtype))
    out = torch.zeros_like(x)
    with use(arch, checked=True):
        through_descriptors[(1,)](
            TensorDescriptor.from_tensor(x, [16, 16]),
            TensorDescriptor.from_tensor(out, [16, 16]),
            BLOCK=16,
        )
    torch.testing.assert_close(out, 2 * x)


@triton.jit
def asserts(x, n):
    tl.device_print("number", n)
    tl.device_assert(n < 10, "too many")
    tl.store(x, n)


def test_device_assert_and_print(capfd):
    x = np.zeros(1, np.int32)
    with use():
        asserts[(1,)](x, 3, debug=True)
        assert "number" in capfd.readouterr().out
        with pytest.raises(KernelError, match="too many") as caught:
            asserts[(1,)](x, 30, debug=True)
    assert caught.value.file == __file__
    assert x[0] == 3


def test_settings_that_are_not_allowed():
    with pytest.raises(ValueError, match="arch=70; allowed: 75, 80"):
        use(70)
    with pytest.raises(ValueError, match="schedule='up'"):
        use(schedule="up")
    with pytest.raises(ValueError, match="max_steps=3; allowed"):
        use(max_steps=3)
    with pytest.raises(ValueError, match="timeout=-1"):
        use(timeout=-1)


def test_an_error_of_a_kernel_leaves_the_device_usable():
    x, y, out = numbers(100)
    with use(checked=True):
        with pytest.raises(OutOfBoundsError):
            triton_kernels.add[(1,)](x[:4].copy(), y, out, 100, BLOCK=128)
        triton_kernels.add[(1,)](x, y, out, 100, BLOCK=128)
    np.testing.assert_array_equal(out, 3 * x)
    assert "triton" in sys.modules


SCRIPT = """
import sys
import numpy as np
import triton
import triton_kernels

x = np.ones(100, np.float32)
triton_kernels.add[(1,)](x, x, x[: int(sys.argv[1])].copy(), 100, BLOCK=128)
print("arch", triton.runtime.driver.active.get_current_target().arch)
"""


def test_a_script_runs_as_it_is(tmp_path, capsys):
    from pycnn.emulator.triton.__main__ import main

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert main(["--checked", "--arch", "90", str(script), "100"]) == 0
    assert capsys.readouterr().out == "arch 90\n"
    assert main(["--checked", str(script), "90"]) == 1
    assert capsys.readouterr().err.startswith("OutOfBoundsError: ")
    assert main([str(tmp_path / "nothing.py")]) == 2
    assert "no such file" in capsys.readouterr().err


ADDING = """
import numpy as np
import triton
import triton.language as tl

@triton.jit
def add(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    y = tl.load(y_ptr + at, mask=at < n)
    tl.store(y_ptr + at, x + y, mask=at < n)

n = 5008
x, y = np.ones(n, np.float32), np.ones(n, np.float32)
for step in range(2):
    add[(triton.cdiv(n, 1024),)](x, y, n, BLOCK=1024)
assert (y == 3).all()
"""


@pytest.mark.parametrize("gpu", ["a100", "h200"])
def test_a_script_is_profiled_line_by_line(gpu, tmp_path, capsys):
    """Of the two launches the first one; what is sampled does not touch the script's arrays."""
    from pycnn.cli import main

    script, page = tmp_path / "adding.py", tmp_path / "page.json"
    script.write_text(ADDING)
    assert main(["profile", str(script), "--gpu", gpu, "--json", str(page)]) == 0
    assert "predicted, not measured" in capsys.readouterr().out
    (launch,) = json.loads(page.read_text())["launches"]
    assert (launch["kernel"], launch["grid"], launch["gpu"]) == ("add", [5, 1, 1], gpu)
    moving = {line["text"].split()[0] for line in launch["lines"] if line["requests"]}
    assert moving == {"x", "y", "tl.store(y_ptr"}
    moved = sum(line["requests"] * line["sectors"] * 32 for line in launch["lines"])
    assert moved == pytest.approx(3 * 5008 * 4, rel=0.03)


def test_a_script_without_a_kernel_and_a_gpu_that_triton_has_not(tmp_path, capsys):
    from pycnn.cli import main

    script = tmp_path / "nothing.py"
    script.write_text("print('nothing')")
    assert main(["profile", str(script), "--gpu", "h200"]) == 2
    assert "launches no kernel of Triton's" in capsys.readouterr().err
    assert main(["profile", str(script), "--gpu", "rtx5090"]) == 2
    assert "Triton compiles nothing for sm_120 here" in capsys.readouterr().err
