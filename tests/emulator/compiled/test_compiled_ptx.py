"""PTX that Triton and Numba made of our kernels: right, silent, and no barrier too many."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_cases import CASES, Case

from pycnn.emulator import KernelError, OutOfBoundsError, Pointer, PtxModule
from pycnn.emulator.triton.launcher import Aligned

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")

DATA = Path(__file__).parent / "data"
LAUNCHES = json.loads((DATA / "launches.json").read_text())
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def text_of(case: Case) -> str:
    return (DATA / f"{case.name}.ptx").read_text()


def aligned(size: int) -> Pointer:
    memory = np.zeros(size + 128, np.uint8)
    return Aligned(memory, size, 128)


def launch(case: Case, text: str, arguments: dict, checked: bool, **settings: Any) -> None:
    how = LAUNCHES[case.name]
    passed = []
    for a in how["arguments"]:
        if isinstance(a, dict):
            [(dtype, number)] = a.items()
            scratch = dtype == "scratch"  # bytes that the compiler wants
            passed.append(aligned(number) if scratch else np.dtype(dtype).type(number))
        else:
            passed.append(a if a is None else arguments[a])
    # Triton has all lanes of a warp store what they have reduced together.
    module = PtxModule(text, checked=checked, same_value_races=False, **settings)
    kernel = module.get_function(how["entry"])
    kernel.max_dynamic_shared_size_bytes = max(how["shared"], 48 * 1024)
    kernel(how["grid"], how["block"], passed, shared_mem=how["shared"])


@by_name
@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
def test_right_and_silent(case, checked):
    arguments = case.arguments()
    launch(case, text_of(case), arguments, checked)
    case.check(arguments)


#: Barriers that order nothing here, and why; found by reading the PTX.
SPARE = {
    ("layer_norm_backward", 5): "begins each turn of the lock's loop, whose first turn succeeds",
    ("layer_norm_backward", 8): "no access until the next barrier",
    ("layer_norm_backward", 13): "one of two in a row",
    ("layer_norm_backward", 14): "one of two in a row",
    ("layer_norm_backward", 15): "the end of the kernel",
    ("matmul_tf32", 1): "nothing is copied since the barrier before the loop, or at its end",
    ("matmul_wgmma", 0): "the one at the loop's end orders the same",
    ("matmul_wgmma", 2): "the one at the loop's beginning orders the same",
}
#: Triton has a barrier before and behind each step that one thread takes: all but the one between
#: the stores of the result and its bulk copy have another that orders the same.
SPARE |= {("matmul_tma", i): "another orders the same" for i in range(17) if i != 15}


def barriers(text: str) -> list[int]:
    return [m.start() for m in re.finditer(r"\tbar\.sync ", text)]


@pytest.mark.parametrize(
    ("case", "number"),
    [(case, i) for case in CASES for i in range(len(barriers(text_of(case))))],
    ids=lambda v: v.name if isinstance(v, Case) else str(v),
)
def test_each_barrier_is_missed(case, number):
    text = text_of(case)
    at = barriers(text)[number]
    text = text[:at] + "//" + text[at:]
    if (case.name, number) in SPARE:
        launch(case, text, case.arguments(), checked=True)
        return
    with pytest.raises(KernelError) as caught:
        launch(case, text, case.arguments(), checked=True)
    assert caught.value.file == f"{case.maker}_kernels.py"
    assert caught.value.line > 0


#: What orders a copy or a product that runs beside the threads.
WAITS = re.compile(
    r"\t(cp\.async\.(?:commit_group|wait_group\s+\d)|fence\.proxy\.async\.shared::cta"
    r"|wgmma\.(?:fence|commit_group|wait_group)\.sync\.aligned(?: \d)?);"
)
PIPELINES = [
    case for case in CASES if case.name in ("matmul_float16", "matmul_wgmma", "matmul_tma")
]


@pytest.mark.parametrize(
    ("case", "number"),
    [(case, i) for case in PIPELINES for i in range(len(WAITS.findall(text_of(case))))],
    ids=lambda v: v.name if isinstance(v, Case) else str(v),
)
def test_each_wait_commit_and_fence_is_missed(case, number):
    text = text_of(case)
    at = [m.start() for m in WAITS.finditer(text)][number]
    with pytest.raises(KernelError) as caught:
        launch(case, text[:at] + "//" + text[at:], case.arguments(), checked=True)
    assert caught.value.file == "triton_kernels.py"


@by_name
def test_an_array_too_short_is_found(case):
    arguments = case.arguments()
    name = next(a for a in LAUNCHES[case.name]["arguments"] if isinstance(a, str))
    arguments[name] = arguments[name].ravel()[:-1].copy()
    with pytest.raises(OutOfBoundsError) as caught:
        launch(case, text_of(case), arguments, checked=True)
    line = (Path(__file__).parent / f"{case.maker}_kernels.py").read_text().splitlines()
    assert re.search(r"\bload|\[", line[caught.value.line - 1])
