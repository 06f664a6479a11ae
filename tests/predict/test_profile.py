"""`pycnn profile`: counts of lines that can be computed by hand, and one error for bad input."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pycnn.cli import main
from pycnn.predict import checked, code, gpus, html, profile, sample

SCALE = """\
extern "C" __global__ void scale(float* y, const float* x, float a) {
    __shared__ float s[32 * 33];
    const int i = blockIdx.x * 64 + threadIdx.x;
    s[threadIdx.x % 32 * 32 + threadIdx.x / 32] = x[2 * i];
    __syncthreads();
    if (threadIdx.x < 16) y[i] = a * s[threadIdx.x];
    if (threadIdx.x == 0) atomicAdd(y, 1.0f);
}
"""

PTX = """\
.version 8.0
.target sm_80
.address_size 64
.visible .entry one(.param .u64 y) {
    .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [y];
    st.global.u32 [%rd1], 1;
    ret;
}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> profile.Profile:
    """Of 100 blocks of two warps."""
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    path = tmp_path_factory.mktemp("profile") / "scale.cu"
    path.write_text(SCALE)
    gpu = gpus.gpu("a100")
    compiled = code.of_text(SCALE, path, "", gpu.arch)
    x, y = (sample.aligned((n,), np.float32) for n in (12800, 6400))
    run = sample.run(compiled.ptx, compiled.entry, (100, 1, 1), (64, 1, 1),
                     [y, x, np.float32(2)], {"y": y, "x": x}, most=4)  # fmt: skip
    return profile.profile(compiled, run, gpu, 0, str(path))


def test_machine_code_is_told_by_itself_alone(found: profile.Profile, tmp_path: Path) -> None:
    """Comments and names that no instruction sees change nothing; a number in the code does."""
    said = SCALE.replace("{", "{ // of a block", 1).replace("int i", "int place")
    said = said.replace("= blockIdx", "=\n\n blockIdx").replace("y[i]", "y[place]")
    texts = (SCALE, said.replace("* i]", "* place]"), SCALE.replace("2 * i", "3 * i"))
    made = [code.of_text(text, tmp_path / "scale.cu", "", "sm_80") for text in texts]
    assert made[0].digest == made[1].digest != made[2].digest
    assert made[0].ptx != made[1].ptx  # which names lines
    assert made[0].digest != code.of_text(SCALE, tmp_path / "scale.cu", "", "sm_89").digest


def test_what_each_line_does(found: profile.Profile) -> None:
    lines = {line.line: line for line in found.lines}
    staging, barrier, result, atomic = (lines[n] for n in (4, 5, 6, 7))
    assert staging.text.startswith("s[threadIdx.x % 32")
    # 200 warps; every second float of 32 is read: 8 sectors of 2 lines; columns meet in one bank.
    assert (staging.requests, staging.sectors, staging.lines) == (200, 8, 2)
    assert (staging.shared, staging.wavefronts, staging.conflicts) == (200, 32, 200 * 31)
    assert barrier.barriers == 200
    assert (result.requests, result.sectors) == (100, 2)
    assert atomic.atomics == 100
    assert staging.lanes == 32
    assert atomic.lanes < 32


def test_what_is_said_of_it(found: profile.Profile) -> None:
    said = profile.text(found)
    assert all(len(line) <= 80 for line in said)
    text = "\n".join(said)
    assert "scale: grid 100, block 64, on a100" in text
    assert "predicted, not measured" in text
    assert re.search(r"^ +4 .* 8 +32  s\[threadIdx", text, re.M)
    assert len(profile.text(found, most=1)) < len(said)


def test_json_has_a_format_and_everything_by_name(found: profile.Profile) -> None:
    told = json.loads(json.dumps(found.as_json()))
    assert told["format"] == profile.FORMAT
    assert (told["kernel"], told["times"]) == ("scale", 1)
    assert {line["line"] for line in told["lines"]} >= {4, 5, 6, 7}
    assert told["predicted"]["time_us"] > 0
    assert told["local"] == 0


def test_the_page_needs_nothing_else(found: profile.Profile) -> None:
    page = html.page("a < b", [found])
    assert "a &lt; b" in page
    assert not re.search(r"https?:|src=|<link", page)
    for side in ("source", "PTX", "machine code"):
        assert f"<h3>{side}</h3>" in page
    # The line of the barrier is on all three sides, and a click joins them by its place.
    assert len(re.findall(r'data-place="[^"]*scale.cu:5"', page)) >= 3


def test_lines_of_what_is_inlined_count_where_it_is_called() -> None:
    ptx = "\n".join((
        '.file 1 "k.cu"', '.file 2 "h.cuh"', ".loc 1 10 3", "add;",
        ".loc 2 5 1, function_name $x, inlined_at 1 11 2", "mul;",
        ".loc 2 7 1, function_name $y, inlined_at 2 5 1", "sub;",
    ))  # fmt: skip
    assert {n: p for n, p in profile.source_lines(ptx).items() if n > 2} == {
        4: ("k.cu", 10), 6: ("h.cuh", 5), 8: ("h.cuh", 7)
    }  # fmt: skip
    inside = profile.source_lines(ptx, "k.cu")
    assert [inside[n] for n in (4, 6, 8)] == [("k.cu", 10), ("k.cu", 11), ("k.cu", 11)]


@pytest.mark.parametrize(
    ("words", "said"),
    [("conv9d --shape n1", "allowed: conv2d"), ("conv2d", "--shape is wanted"),
     ("conv2d --shape n1c4h5w5k4r3s3 --gpu h20", "allowed: h200"),
     ("conv2d --shape n1c4h5w5k4r3s3 --dtype int8", "allowed: float16"),
     ("conv2d --shape n1c4h5w5k4r3s3 --grid 4", "--grid is of a file"),
     ("k.cu --shape n1", "--shape is of an operation"), ("k.cu --blocks 0", "--blocks 0"),
     ("k.cu", "k.cu: no such file"), ("k.cu --html x.txt", "allowed are the suffixes .html")],
)  # fmt: skip
def test_one_error_for_what_cannot_be(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["profile", *words.split()]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out


def test_an_operation_from_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    report, page = tmp_path / "r.json", tmp_path / "r.html"
    words = ["profile", "conv2d", "--shape", "n1c4h9w9k4r3s3p1", "--algo", "direct", "--gpu", "t4"]
    assert main([*words, "--json", str(report), "--html", str(page)]) == 0
    assert "direct_forward: grid" in capsys.readouterr().out
    assert json.loads(report.read_text())["launches"][0]["gpu"] == "t4"
    assert page.read_text().count("<section>") == 1
    assert main([*words, "--json", str(report)]) == 2  # what is there is kept


STENCIL = """\
template <class T> __global__ void stencil(T* y, const T* x, int n) {
    __shared__ T s[66];
    const int t = threadIdx.x, i = blockIdx.x * 64 + t;
    s[t + 1] = i < n ? x[i] : T(0);
    if (t == 0) s[0] = i ? x[i - 1] : T(0);
    if (t == 63) s[65] = i + 1 < n ? x[i + 1] : T(0);
    __syncthreads();
    if (i < n) y[i] = s[t] + s[t + 1] + s[t + 2];
}
"""


@pytest.mark.parametrize(
    ("old", "new", "kind", "line", "blocks"),
    [
        ("", "", "", 0, 7),
        ("", "", "", 0, 2000),
        ("    __syncthreads();\n", "\n", "RaceError", 4, 7),
        ("    __syncthreads();\n", "\n", "RaceError", 4, 2000),
        ("s[66]", "s[65]", "OutOfBoundsError", 6, 7),
        ("if (t == 0) s[0]", "if (t == 0 && i) s[0]", "UninitialisedReadError", 8, 2000),
    ],
)
def test_defects_stand_beside_the_prediction(
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
    old: str, new: str, kind: str, line: int, blocks: int,
) -> None:  # fmt: skip
    """Of a small launch all blocks are checked, of a large one those that are sampled."""
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    source, report, page = (tmp_path / f"s.{suffix}" for suffix in ("cu", "json", "html"))
    source.write_text(STENCIL.replace(old, new))
    n = blocks * 64 - 5
    words = ["--kernel", "stencil<float>", "--grid", str(blocks), "--block", "64",
             "--arg", f"y=float32:{n}:empty", "--arg", f"x=float32:{n}:random", "--arg", str(n),
             "--json", str(report), "--html", str(page)]  # fmt: skip
    assert main(["profile", str(source), *words]) == (1 if kind else 0)
    said = capsys.readouterr().out
    assert "stencil<float>(float*, float const*, int): grid" in said
    assert "predicted, not measured" in said
    assert f"checked, {'all' if blocks == 7 else '10 sampled'} of {blocks} blocks: " in said
    for report_of_it in (said, page.read_text()):
        assert (kind or "no defect found") in report_of_it
    assert ("pycnn emulate" in said) == (blocks > 7 and not kind)
    found = json.loads(report.read_text())["launches"][0]["checked"]
    assert (found["found"] or {"line": 0})["line"] == line
    assert found["blocks"] == blocks


def test_a_defect_is_told_of_the_block_that_was_sampled(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "one.cu").write_text(
        'extern "C" __global__ void one(float* y) { if (blockIdx.x == 1999) y[8] = 1; }'
    )
    words = ["--grid", "2000", "--block", "64", "--arg", "float32:64"]
    assert main(["profile", str(tmp_path / "one.cu"), *words]) == 1
    said = capsys.readouterr().out
    assert "RaceError" in said
    assert said.count("block (1999, 0, 0), thread (") == 2  # both accesses


def test_a_check_that_takes_too_long_is_told(tmp_path: Path) -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    text = 'extern "C" __global__ void hang(volatile int* x) { while (*x == 0) {} }'
    compiled = code.of_text(text, tmp_path / "k.cu", "", "sm_80")
    told = checked.check(compiled, (5, 1, 1), (32, 1, 1), [np.zeros(4, np.int32)], "pycnn emulate",
                         sampled=5, shared=0, most=8, timeout=0.2)  # fmt: skip
    assert told.error is None
    first, second = told.text()
    assert first.startswith("not checked, the launch has 5 blocks: ")
    assert "not done after 0.2 s" in first
    assert second == "    pycnn emulate"


@pytest.mark.parametrize("array", ["null", "float32:10"])
def test_a_stray_access_is_told_without_a_prediction(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, array: str
) -> None:
    (tmp_path / "one.cu").write_text(
        'extern "C" __global__ void one(float* y) { y[blockIdx.x * 256 + threadIdx.x] = 1; }'
    )
    launch = ["--arg", array, "--grid", "4", "--block", "256"]
    assert main(["profile", str(tmp_path / "one.cu"), *launch]) == 1
    said = capsys.readouterr().err
    assert "no prediction, OutOfBoundsError" in said
    assert "one.cu:1: write of 4 bytes" in said


def test_a_kernel_that_hangs_is_one_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    (tmp_path / "k.cu").write_text(
        'extern "C" __global__ void hang(volatile int* x) { while (*x == 0) {} }'
    )
    launch = ["--block", "32", "--arg", "int32:4", "--timeout", "0.2"]
    assert main(["profile", str(tmp_path / "k.cu"), *launch]) == 2
    said = capsys.readouterr().err
    assert "not done after 0.2 s" in said
    assert len(said.splitlines()) == 1


def test_code_for_the_host_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("cuda.bindings")
    kernels = "__global__ void a(int* x) { *x = 1; }\n__global__ void b(int* x) { *x = 2; }\n"
    path = tmp_path / "k.cu"
    path.write_text(f"#include <cstdio>\n{kernels}int main() {{ a<<<1, 1>>>(nullptr); }}")
    assert main(["profile", str(path), "--kernel", "a"]) == 2
    assert "allowed: a file of kernels alone" in capsys.readouterr().err.splitlines()[-1]
    path.write_text(kernels)
    assert main(["profile", str(path)]) == 2
    assert "which kernel is wanted" in capsys.readouterr().err


def test_algorithms_beside_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What the tutorial says: two loads a multiplication, and each value once a filter and tap."""
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    report = tmp_path / "r.json"
    words = ["--shape", "n1c16h24w24k32r3s3p1", "--algo", "direct,implicit_gemm", "--lines", "1"]
    assert main(["profile", "conv2d", *words, "--json", str(report)]) == 0
    launches = json.loads(report.read_text())["launches"]
    assert {one["algo"] for one in launches} == {"direct", "implicit_gemm"}
    mix = launches[0]["mix"]
    # 18 warps a filter, 144 products each; a warp at a border goes both ways, so twice at most.
    assert 1 <= mix["FFMA"] / (32 * 18 * 144) <= 2.02
    assert mix["LDG"] / mix["FFMA"] == pytest.approx(2, rel=0.02)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80 or str(report) in said
    told = re.sub(r"\s+", " ", said[said.index("beside") :])
    assert re.search(
        r"loads for each that multiplies: (1\.9\d|2|2\.0\d) against 0\.\d+: direct uses", told
    )
    assert re.search(r"asked for \d+ times against [\d.]+ times: direct asks for it again", told)
    assert "bytes of shared memory" in told


def test_an_algorithm_that_is_not_there_is_told_before_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["profile", "conv2d", "--shape", "n1c4h9w9k4r3s3p1", "--algo", "direct,nothing"]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "algo='nothing'" in captured.err
    assert not captured.out


def test_chunks_of_images_are_taken_apart_once(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cuda.bindings")
    words = ("profile", "conv2d", "--algo", "im2col", "--shape", "n70000c3h24w24k5r3s3p1")
    assert main([*words, "--gpu", "a100", "--blocks", "1"]) == 0
    said = capsys.readouterr().out
    assert said.count("im2col: grid") <= 3
    assert re.search(r"launched \d+ times, each on other images", said)


def test_kernels_of_the_gpu_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["profile", "gemm", "--shape", "m128n64k64", "--algo", "wgmma", "--dtype", "float16"]
    assert main([*asked, "--gpu", "h200", "--blocks", "1"]) == 0
    assert "gemm_wgmma: grid 1" in capsys.readouterr().out
    assert main([*asked, "--gpu", "a100"]) == 2
    assert "allowed: sm_90a" in capsys.readouterr().err


def test_a_kernel_in_ptx(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("llvmlite")
    pathfinder = pytest.importorskip("cuda.pathfinder")
    if not (pathfinder.find_nvidia_binary_utility("ptxas") or shutil.which("ptxas")):
        pytest.skip("ptxas is not installed; it comes with NVIDIA's CUDA toolkit")
    path = tmp_path / "one.ptx"
    path.write_text(PTX)
    assert main(["profile", str(path), "--arg", "int32:32", "--gpu", "a100"]) == 0
    assert "one: grid 1" in capsys.readouterr().out


def test_inline_ptx_is_from_the_line_that_it_stands_in() -> None:
    ptx = """.file 1 "a.py"
.loc 1 10 9
// begin inline asm
.loc 1 10 9
mov.u32 %r1, 0;
.loc 1 11 9
mov.u32 %r2, 0;
// end inline asm
.loc 1 12 9
add.u32 %r1, %r1, %r2;"""
    found = profile.source_lines(ptx)
    assert [found[n] for n in (5, 7, 10)] == [("a.py", 10), ("a.py", 10), ("a.py", 12)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nothing.py", "nothing.py: no such file"),
        ("nothing.py --algo direct", "--algo is of an operation; allowed with nothing.py: without"),
        ("nothing.py --grid 3", "--grid is of a file .cu or .ptx; allowed with nothing.py"),
    ],
)
def test_a_script_that_is_not_there_and_options_that_it_has_not(words, said, capsys) -> None:
    assert main(["profile", *words.split()]) == 2
    assert said in capsys.readouterr().err
