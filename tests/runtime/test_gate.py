"""The compile gate: figures against hand-worked ones, and every kind of failure is reported."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pycnn.runtime import catalogue, cubin, gate, nvrtc, sources
from pycnn.runtime.catalogue import Variant
from pycnn.runtime.extras import import_extra

Write = Callable[[str, str], Path]

PLAIN = """// f/plain.cu: a tile in shared memory.
//
// entry plain      turns a tile
// variant SCALAR = float, double
extern "C" __global__ void __launch_bounds__(16 * 8) plain(SCALAR* x) {
    __shared__ SCALAR tile[96];
    tile[threadIdx.x % 96] = x[threadIdx.x];
    __syncthreads();
    x[0] = tile[(int)x[1]];
}
"""

# 200 values live at once; __launch_bounds__(1024) leaves 64 registers for them.
SPILLING = """// f/spilling.cu: more values than registers.
//
// entry spilling      keeps 200 values
extern "C" __global__ void __launch_bounds__(1024) spilling(float* x, int n) {
    float kept[200];
#pragma unroll
    for (int i = 0; i < 200; i++) kept[i] = x[i * n];
    for (int j = 0; j < n; j++) {
#pragma unroll
        for (int i = 0; i < 200; i++) kept[i] = kept[i] * kept[(i + 7) % 200] + x[j];
    }
#pragma unroll
    for (int i = 0; i < 200; i++) x[i] = kept[i];
}
"""

# No spill: ptxas has registers for the array, but none can be addressed by a number.
INDEXED = """// f/indexed.cu: an array in local memory.
//
// entry indexed      counts what it is told
extern "C" __global__ void __launch_bounds__(32) indexed(int* x, int n) {
    int count[64] = {};
    for (int i = 0; i < n; i++) count[x[i] & 63]++;
    for (int i = 0; i < n; i++) x[i] = count[x[i] & 63];
}
"""


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90a", "sm_120"])
def test_shared_memory_and_block_are_those_of_the_source(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None, arch: str
) -> None:
    write_kernel("f/plain.cu", PLAIN)
    report = gate.compile_all([arch], jobs=1)
    assert report.problems == ()
    by_type = {record.defines["SCALAR"]: record for record in report.records}
    assert set(by_type) == {"float", "double"}
    for name, itemsize in (("float", 4), ("double", 8)):
        used = by_type[name].resources
        assert (used.threads, used.shared, used.local) == (128, 96 * itemsize, 0)
        assert (used.spill_stores, used.spill_loads) == (0, 0)
        assert 0 < used.registers < 64
        assert by_type[name].occupancy == 1.0  # neither registers nor shared memory are scarce


def test_a_spill_is_a_problem_unless_the_header_explains_it(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None
) -> None:
    write_kernel("f/spilling.cu", SPILLING)
    report = gate.compile_all(["sm_80"], jobs=1)
    used = report.records[0].resources
    assert used.registers <= 64  # 65536 registers for 1024 threads
    assert used.local > 0
    assert len(report.problems) == 1
    assert re.search(r"f/spilling.cu\[\] sm_80: spilling spills \d+ \+ \d+ by", report.problems[0])
    write_kernel("f/spilling.cu", SPILLING.replace("// entry", "// spill on purpose\n// entry"))
    assert gate.compile_all(["sm_80"], jobs=1).problems == ()


def test_an_array_in_local_memory_is_a_problem_unless_the_header_explains_it(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None
) -> None:
    write_kernel("f/indexed.cu", INDEXED)
    report = gate.compile_all(["sm_80"], jobs=1)
    used = report.records[0].resources
    assert (used.local, used.spill_stores, used.spill_loads) == (256, 0, 0)
    (problem,) = report.problems
    assert problem.endswith("indexed keeps 256 bytes of a thread in local memory")
    write_kernel("f/indexed.cu", INDEXED.replace("// entry", "// spill on purpose\n// entry"))
    assert gate.compile_all(["sm_80"], jobs=1).problems == ()


def test_a_spill_that_ptxas_reports_is_in_the_machine_code(needs_cuobjdump: None) -> None:
    """The figure comes from a log; the disassembly shows that it is no invention."""
    pathfinder = import_extra("cuda.pathfinder", "compile", "a test")
    tool = pathfinder.find_nvidia_binary_utility("nvdisasm") or shutil.which("nvdisasm")
    if tool is None:
        pytest.skip("no nvdisasm here: pip install -e '.[compile]'")
    for text, entry, spills, local in (
        (SPILLING, "spilling", True, True),
        (INDEXED, "indexed", False, True),
        (PLAIN, "plain", False, False),
    ):
        defines = (("SCALAR", "float"),)
        done = nvrtc.compile_text(text, entry, "sm_80", defines, (cubin.VERBOSE,))
        used = cubin.resources(done.cubin, done.log, "sm_80")[entry]
        assert (used.spill_stores > 0, used.spill_loads > 0) == (spills, spills)
        assert (used.local > 0) == local
        assert _local_accesses(tool, done.cubin) == (local, local)


def _local_accesses(tool: str, machine_code: bytes) -> tuple[bool, bool]:
    """Whether a cubin stores to and loads from local memory."""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(machine_code)
        file.flush()
        done = subprocess.run([tool, file.name], capture_output=True, text=True, check=True)
    return bool(re.search(r"\bSTL\b", done.stdout)), bool(re.search(r"\bLDL\b", done.stdout))


def test_a_compile_failure_is_a_problem_and_the_rest_still_compiles(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None
) -> None:
    write_kernel("f/plain.cu", PLAIN)
    write_kernel("f/bad.cu", PLAIN.replace("f/plain.cu", "f/bad.cu").replace("plain", "bad")
                 .replace("__syncthreads()", "__syncthread()"))  # fmt: skip
    seen: list[tuple[int, int, str]] = []
    report = gate.compile_all(["sm_80"], jobs=1, progress=lambda *args: seen.append(args))
    assert {record.file for record in report.records} == {"f/plain.cu"}
    (problem,) = report.problems  # float and double have the same, which is reported once
    assert problem.startswith("f/bad.cu[SCALAR=float] sm_80 and 1 more: does not compile:\n")
    assert 'bad.cu(8): error: identifier "__syncthread" is undefined' in problem
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_entry_without_launch_bounds_is_a_problem(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None
) -> None:
    write_kernel("f/plain.cu", PLAIN.replace(" __launch_bounds__(16 * 8)", ""))
    report = gate.compile_all(["sm_80"], jobs=1)
    assert report.problems[0].endswith("plain has no __launch_bounds__")
    assert report.records[0].occupancy is None


def test_an_entry_that_only_one_variant_defines_is_a_problem(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None
) -> None:
    text = PLAIN.replace("// variant SCALAR = float, double", "// variant WITH = 0, 1")
    text = (
        text.replace("SCALAR", "float").replace('extern "C"', '#if WITH\nextern "C"') + "#endif\n"
    )
    write_kernel("f/plain.cu", text)
    report = gate.compile_all(["sm_80"], jobs=1)
    (problem,) = report.problems
    assert problem == "f/plain.cu[WITH=0] sm_80: compiled [], but the header lists ['plain']"


def test_results_come_from_the_cache_until_a_header_changes(
    write_kernel: Write, cache_dir: Path, needs_cuobjdump: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kernel("include/size.cuh", "#define SIZE 96")
    write_kernel("f/plain.cu", PLAIN.replace("extern", "#include <size.cuh>\nextern", 1)
                 .replace("[96]", "[SIZE]"))  # fmt: skip
    first = gate.compile_all(["sm_80"], jobs=1)
    with monkeypatch.context() as patched:
        patched.setattr(nvrtc, "compile_text", None)  # calling it would fail
        assert gate.compile_all(["sm_80"], jobs=1) == first
    write_kernel("include/size.cuh", "#define SIZE 128")
    assert gate.compile_all(["sm_80"], jobs=1).records[0].resources.shared == 4 * 128


def test_an_unknown_architecture_is_refused_before_anything_compiles(needs_nvrtc: None) -> None:
    with pytest.raises(ValueError, match=r"arch='sm_70': limits are known for sm_75"):
        gate.compile_all(["sm_80", "sm_70"])


# --- the real catalogue -----------------------------------------------------------------------


ALL_ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120")
#: Of 256 threads, of which an SM has one block: three products by tensor cores, tiles of 128x128.
ALONE = {"implicit_gemm_tf32x3", "implicit_gemm_phases", "gemm_tf32x3"}
FAMILIES = sorted({kernel.file.partition("/")[0] for kernel in catalogue.load()})


def covering(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Few variants in which every value of every macro occurs, the last ones (largest) first."""
    chosen: list[Variant] = []
    while unseen := set().union(*variants).difference(*chosen):
        chosen.append(max(reversed(variants), key=lambda v: len(unseen.intersection(v))))
    return tuple(chosen)


def test_a_covering_choice_has_every_value_of_every_macro() -> None:
    tiles = [(("TILE", t), ("A", a), ("B", b)) for t in ("64", "128") for a in "01" for b in "01"]
    assert covering(tiles) == (tiles[-1], tiles[0])
    assert covering([()]) == ()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_compile_for_one_architecture_without_local_memory(
    needs_cuobjdump: None, defined_entries: dict[str, str], family: str
) -> None:
    """In float32, or the first type there is, and every value of the other macros once.

    Of float32, blocks of 256 threads fit twice. Their combinations, other types and architectures
    are left to test-all.
    """

    def quickest(variants):
        first = dict(variants[0]).get("SCALAR")
        return (
            covering([v for v in variants if dict(v).get("SCALAR", "float") in ("float", first)])
            or variants
        )

    kernels = [
        replace(kernel, variants=quickest(kernel.variants))
        for kernel in catalogue.load()
        if kernel.file.startswith(f"{family}/")
    ]
    report = gate.compile_all(["sm_90a"], jobs=1, kernels=kernels)
    assert "\n".join(report.problems) == ""
    compiled = {(record.entry, record.file) for record in report.records}
    of_family = {(e, f) for e, f in defined_entries.items() if f.startswith(f"{family}/")}
    assert compiled == of_family
    alone = {
        record.entry
        for record in report.records
        if (record.resources.threads, record.defines.get("SCALAR", "float")) == (256, "float")
        and (record.occupancy or 0) < 2 * 256 / 2048
    }
    assert alone <= ALONE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "arch", "defines"),
    [
        ("norm/gradient.cu", "sm_120", {"SCALAR": "__nv_bfloat16"}),
        ("conv/implicit_gemm.cu", "sm_90a", {"SCALAR": "double", "TILE": "64"}),
        ("conv/implicit_gemm.cu", "sm_100a", {"SCALAR": "double", "TILE": "64"}),
        ("conv/scaled.cu", "sm_120", {"SCALAR": "float"}),
        ("gemm/13_wgmma_int8.cu", "sm_90a", {"TILE_N": "128", "CLUSTER": "1"}),
        ("conv/depthwise_weight.cu", "sm_100a", {"SCALAR": "float", "BYTES": "16", "KSIZE": "3"}),
    ],
)
def test_what_spilled_where_few_look_does_not_again(
    needs_cuobjdump: None, file: str, arch: str, defines: dict[str, str]
) -> None:
    """Of types and architectures that the tests above leave to test-all."""
    (kernel,) = (kernel for kernel in catalogue.load() if kernel.file == file)
    variant = next(v for v in kernel.variants if defines.items() <= dict(v).items())
    report = gate.compile_all([arch], jobs=1, kernels=[replace(kernel, variants=(variant,))])
    assert report.problems == ()
    assert report.records


@pytest.mark.exhaustive
def test_every_kernel_compiles_for_every_architecture_without_local_memory(
    needs_cuobjdump: None, defined_entries: dict[str, str]
) -> None:
    """In two processes; results stay in the disk cache, so only what changed is compiled."""
    assert gate.ARCHS == ALL_ARCHS
    report = gate.compile_all(ALL_ARCHS)
    assert "\n".join(report.problems) == ""
    compiled = {(record.entry, record.file, record.arch) for record in report.records}
    assert compiled == {
        (e, kernel.file, arch)
        for kernel in catalogue.load()
        for e in kernel.entries
        for arch in ALL_ARCHS
        if kernel.arch in (None, arch)
    }
    assert {e for e, *_ in compiled} == set(defined_entries)


def test_the_gate_runs_in_two_processes(needs_cuobjdump: None) -> None:
    """On the smallest kernel file of the project: the processes do not see a patched folder."""
    smallest = min(catalogue.load(), key=lambda k: len(sources.kernel_path(k.file).read_text()))
    report = gate.compile_all(["sm_80"], jobs=2, kernels=[smallest])
    assert "\n".join(report.problems) == ""
    assert {record.entry for record in report.records} == set(smallest.entries)
