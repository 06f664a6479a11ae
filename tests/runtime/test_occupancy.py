"""Occupancy against hand-worked cases, and against NVIDIA's own calculator where it is here."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from pycnn.runtime import nvrtc
from pycnn.runtime.extras import MissingExtra
from pycnn.runtime.gate import ARCHS
from pycnn.runtime.occupancy import LIMITS, occupancy


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "warps", "limit"),
    [
        # 8 warps a block, 64 on the multiprocessor
        ("sm_80", 256, 32, 0, 8, 64, "warps"),
        # 32 * 33 = 1056 registers a warp, allocated 1280; 16384 // 1280 * 4 = 48 warps, 6 blocks
        ("sm_80", 256, 33, 0, 6, 48, "registers"),
        # 128 * 32 = 4096 a warp: 4 warps in each of 4 partitions
        ("sm_90a", 256, 128, 0, 2, 16, "registers"),
        # 255 registers are 8160, allocated 8192: 2 warps a partition, 8 in all, one block of 8
        ("sm_90a", 256, 255, 0, 1, 8, "registers"),
        # 49152 + 1024 reserved = 50176; 233472 // 50176 = 4
        ("sm_90a", 128, 32, 49152, 4, 16, "shared"),
        # sm_75 reserves nothing: 65536 // 32768 = 2
        ("sm_75", 128, 32, 32768, 2, 8, "shared"),
        # one byte is allocated as 256 there: 65536 // 256 = 256 blocks; 16 blocks at most
        ("sm_75", 32, 16, 1, 16, 16, "blocks"),
        # 33 threads are 2 warps; 24 blocks at most, 48 warps
        ("sm_89", 33, 16, 0, 24, 48, "warps"),
        # 32 warps a block, 48 on the multiprocessor: a third stays empty
        ("sm_86", 1024, 16, 0, 1, 32, "warps"),
        # more shared memory than there is: none fits
        ("sm_75", 128, 32, 65537, 0, 0, "shared"),
    ],
)
def test_hand_worked_cases(
    arch: str, threads: int, registers: int, shared: int, blocks: int, warps: int, limit: str
) -> None:
    found = occupancy(arch, threads, registers, shared)
    assert (found.blocks, found.warps, found.limit) == (blocks, warps, limit)
    most = {"sm_75": 32, "sm_80": 64, "sm_86": 48, "sm_89": 48, "sm_90a": 64}[arch]
    assert found.fraction == warps / most


def test_every_architecture_of_the_gate_has_limits() -> None:
    for arch in ARCHS:
        assert occupancy(arch, 32, 1).blocks > 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("sm_70", 32, 1), "arch='sm_70': limits are known for sm_75"),
        (("sm_80", 0, 1), "threads=0: allowed are 1 to 1024"),
        (("sm_80", 1025, 1), "threads=1025"),
        (("sm_80", 32, 256), "registers=256: allowed are 0 to 255"),
    ],
)
def test_values_out_of_range(arguments: tuple[str, int, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        occupancy(*arguments)


#: From the programming guide, not from the table under test: threads and KiB a multiprocessor.
DEVICES = {
    (7, 5): (1024, 64),
    (8, 0): (2048, 164),
    (8, 6): (1536, 100),
    (8, 9): (1536, 100),
    (9, 0): (2048, 228),
    (10, 0): (2048, 228),
    (12, 0): (1536, 100),
}

ORACLE = r"""
#include <cstddef>
#include <cstdio>
#include <cuda_occupancy.h>
int main() {
    int major, minor, device_threads, device_kib, threads, registers, shared;
    while (std::scanf("%d%d%d%d%d%d%d", &major, &minor, &device_threads, &device_kib, &threads,
                      &registers, &shared) == 7) {
        cudaOccDeviceProp device;
        device.computeMajor = major;
        device.computeMinor = minor;
        device.maxThreadsPerBlock = 1024;
        device.maxThreadsPerMultiprocessor = device_threads;
        device.regsPerBlock = device.regsPerMultiprocessor = 65536;
        device.warpSize = 32;
        device.sharedMemPerBlock = 48 * 1024;
        device.reservedSharedMemPerBlock = major >= 8 ? 1024 : 0;
        device.sharedMemPerMultiprocessor = device_kib * 1024;
        device.sharedMemPerBlockOptin = device_kib * 1024 - device.reservedSharedMemPerBlock;
        device.numSms = 1;
        cudaOccFuncAttributes kernel;
        kernel.maxThreadsPerBlock = 1024;
        kernel.numRegs = registers;
        kernel.sharedSizeBytes = 0;
        kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
        kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
        kernel.maxDynamicSharedSizeBytes = device.sharedMemPerBlockOptin;
        kernel.numBlockBarriers = 1;
        cudaOccDeviceState state;
        cudaOccResult result;
        if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads,
                                                    shared) != CUDA_OCC_SUCCESS) return 1;
        std::printf("%d\n", result.activeBlocksPerMultiprocessor);
    }
}
"""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's header-only calculator, compiled for the host."""
    try:
        folders = nvrtc.cuda_include_dirs()
    except MissingExtra as error:
        pytest.skip(str(error))
    folder = next((f for f in folders if (f / "cuda_occupancy.h").is_file()), None)
    if folder is None:
        pytest.skip("cuda_occupancy.h is not here: pip install -e '.[compile]'")
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler to compile cuda_occupancy.h with")
    work = tmp_path_factory.mktemp("occupancy")
    (work / "oracle.cpp").write_text(ORACLE)
    command = ["c++", "-O1", "-I", str(folder), "oracle.cpp", "-o", "oracle"]
    subprocess.run(command, cwd=work, check=True)
    return work / "oracle"


def test_equal_to_nvidias_calculator(oracle: Path) -> None:
    cases = list(
        itertools.product(
            DEVICES,
            (1, 32, 33, 96, 160, 256, 352, 512, 1024),
            (0, 8, 16, 17, 24, 32, 33, 40, 63, 64, 65, 96, 127, 128, 168, 200, 255),
            (0, 1, 128, 129, 1000, 8192, 16385, 32768, 48000, 65536),
        )
    )
    lines = "".join(
        f"{major} {minor} {' '.join(map(str, DEVICES[major, minor]))} {threads} {regs} {shared}\n"
        for (major, minor), threads, regs, shared in cases
    )
    done = subprocess.run([oracle], input=lines, capture_output=True, text=True, check=True)
    expected = list(map(int, done.stdout.split()))
    assert len(expected) == len(cases)
    wrong = [
        (device, threads, registers, shared, blocks)
        for (device, threads, registers, shared), blocks in zip(cases, expected, strict=True)
        if threads * registers <= 65536  # else it cannot be launched, which is not occupancy's
        and occupancy(f"sm_{device[0]}{device[1]}", threads, registers, shared).blocks != blocks
    ]
    assert not wrong
    assert {f"sm_{major}{minor}" for major, minor in DEVICES} == set(LIMITS)
