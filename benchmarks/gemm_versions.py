"""What each version of the GEMM kernel asks of a GPU, without one.

    python benchmarks/gemm_versions.py [--json FILE [--force]]

For each kernel under kernels/gemm: the traffic that the checked emulator counts in a product that
every tile divides, and what its machine code for `ARCH` looks like. Results are checked first.
"""

import argparse
import re
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.environment import environment
from pycnn.emulator import counting
from pycnn.plan.coarse import COARSE
from pycnn.plan.gemm import VERSIONS, algorithms_of, gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.reference.oracle.gemm import gemm as oracle
from pycnn.runtime import cubin, nvrtc, sources
from pycnn.runtime.backends import executor
from pycnn.runtime.occupancy import occupancy
from pycnn.runtime.options import print_and_write_json, with_json
from pycnn.runtime.plan import ArraySpec, Buffer, Kernel, Plan
from pycnn.testing.tolerance import compare

COMMAND = "python benchmarks/gemm_versions.py"
SIZE = 256
ARCH = "sm_90a"

_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z0-9_.]+)([^;]*);")


def traffic(algo: str, tile: tuple[int, int] | None) -> tuple[Kernel, dict[str, Any]]:
    """The kernel, and what it moves for a product of `SIZE` cubed in float32."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    dense = (0, 0, SIZE, 1)
    problem = Gemm(SIZE, SIZE, SIZE, "float32", a=dense, b=dense, c=dense)
    arguments = (Buffer(x) for x in "abc")
    launch = gemm_launch(problem, *arguments, algo=algo, tile=tile)
    plan = Plan("gemm", algo, (launch,), {"c": ArraySpec((SIZE, SIZE), a.dtype)})
    with counting() as counted:
        c = executor("emulator").run(plan, {"a": a, "b": b})["c"]
    error, allowed = compare(c, oracle(a, b), "float32", SIZE, COARSE.get(algo, 0.0))
    if error > allowed:
        raise SystemExit(f"{algo}: wrong result, error {error:.3g}, allowed {allowed:.3g}")
    counters = counted.total
    multiply_adds = SIZE**3 / 32  # of a warp
    return launch.kernel, {
        "load_requests": counters.global_load_requests,
        "sectors_per_load": counters.sectors_per_load,
        "bytes_moved": counters.bytes_moved,
        "bytes_necessary": counters.bytes_necessary,
        "shared_loads_per_multiply_add": counters.shared_load_requests / multiply_adds,
        "bank_conflicts": counters.bank_conflicts,
        "barriers_per_block": counters.barriers / (launch.grid[0] * launch.grid[1]),
    }


def machine_code(kernel: Kernel) -> dict[str, Any]:
    """Registers, occupancy, widths of loads, and the loop that multiplies."""
    path = sources.kernel_path(kernel.file)
    options = (cubin.VERBOSE,)
    compiled = nvrtc.compile_text(path.read_text(), path, ARCH, kernel.defines, options)
    used = cubin.resources(compiled.cubin, compiled.log, ARCH)[kernel.entry]
    assert used.threads is not None
    code = _INSTRUCTION.findall(cubin.disassembly(compiled.cubin))
    loop = multiplying_loop(code)
    return {
        "registers": used.registers,
        "spill_bytes": used.spill_stores + used.spill_loads,
        "occupancy": occupancy(ARCH, used.threads, used.registers, used.shared).fraction,
        "global_load_bits": _widest(code, "LDG"),
        "shared_load_bits": _widest(code, "LDS"),
        "loop_instructions": len(loop),
        "loop_ffma": loop.count("FFMA"),
    }


def multiplying_loop(code: list[tuple[str, str, str]]) -> list[str]:
    """Opcodes of the loop in which the largest share of instructions multiplies and adds."""
    at = {int(address, 16): index for index, (address, _, _) in enumerate(code)}
    loops = []
    for end, (_, opcode, operands) in enumerate(code):
        target = re.search(r"0x([0-9a-f]+)", operands)
        if opcode.startswith("BRA") and target and at[int(target[1], 16)] < end:
            loops.append([name for _, name, _ in code[at[int(target[1], 16)] : end + 1]])
    return max(loops, key=lambda loop: loop.count("FFMA") / len(loop))


def _widest(code: list[tuple[str, str, str]], kind: str) -> int:
    """Bits of the widest load of a kind; 0 if there is none."""
    loads = [opcode for _, opcode, _ in code if opcode.split(".")[0] == kind]
    widths = [int(w[1]) if (w := re.search(r"\.(64|128)\b", load)) else 32 for load in loads]
    return max(widths, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    file = with_json(parser).json
    results = []
    with pycnn.use_backend("emulator", checked=True):
        for algo in algorithms_of("float64"):  # those that multiply one by one
            for tile in VERSIONS[algo].tiles or (None,):
                kernel, moved = traffic(algo, tile)
                results.append(
                    {"file": kernel.file, "algo": algo, "tile": tile and tile[0], **moved}
                )
                results[-1] |= machine_code(kernel)
    report = {
        "environment": environment(COMMAND),
        "size": SIZE,
        "arch": ARCH,
        "results": results,
    }
    print_and_write_json(report, file)


if __name__ == "__main__":
    main()
