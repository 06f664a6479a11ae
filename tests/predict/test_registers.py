"""Ports of the register file, on sequences whose clocks can be counted by hand."""

import pytest

from pycnn.predict import registers
from pycnn.predict.sass import Instruction


def instruction(text: str, stall: int = 1, waits: int = 0) -> Instruction:
    op, operands = text.split(maxsplit=1)
    return Instruction(op, operands, "", 0, (), stall, 7, 7, waits)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # Each bank gives one register a clock, and each instruction has three clocks to read.
        (["FFMA R1, R2, R3, R5", "FFMA R11, R12, R13, R15"], 0),
        # Four of six even registers, then eight of nine: what three clocks leave is lost.
        (["FFMA R1, R2, R4, R6", "FFMA R11, R12, R14, R16"], 2),
        (["FFMA R1, R2, R4, R6", "FFMA R11, R12, R14, R17"], 1),
        (["FFMA R1, R2, R4, R6", "FFMA R11, R13, R15, R17"], 0),
        # What is kept is not read again, at the same place only.
        (["FFMA R1, R2.reuse, R4.reuse, R6", "FFMA R11, R2, R4, R16"], 0),
        (["FFMA R1, R2.reuse, R4.reuse, R6", "FFMA R11, R4, R2, R16"], 2),
        # Loads reserve nothing, and the zero register is none.
        (["FFMA R1, R2, R4, R6", "LDS R11, [R12]"], 0),
        (["FFMA R1, R2, R4, R6", "FFMA R11, RZ, R14, RZ"], 0),
    ],
)
def test_clocks_lost(texts: list[str], expected: int) -> None:
    assert sum(registers.bubbles([instruction(t) for t in texts])) == expected


def test_what_is_kept_is_gone_once_another_warp_has_had_its_turn() -> None:
    second = instruction("FFMA R11, R2, R4, R16")
    for stall, waits, expected in ((1, 0, 0), (registers.TURNS, 0, 2), (1, 1, 2)):
        first = instruction("FFMA R1, R2.reuse, R4.reuse, R6", stall, waits)
        assert sum(registers.bubbles([first, second])) == expected


def test_a_multiply_add_of_three_registers_reaches_two_thirds_of_the_peak() -> None:
    chain = [
        instruction(text)
        for i in range(10, 70, 4)
        for text in (f"FFMA R{i}, R{i}, R6, R5", f"FFMA R{i + 1}, R{i + 1}, R7, R8")
    ] * 4
    clocks = len(chain) + sum(registers.bubbles(chain))
    assert len(chain) / clocks == pytest.approx(2 / 3, rel=0.02)
    assert sum(registers.bubbles(chain, [2.0] * len(chain))) == 0  # half a warp wide


def test_registers_that_are_read() -> None:
    assert registers.sources(instruction("FFMA R1, R2.reuse, -R3, c[0x0][0x160]")) == [
        (1, 2, True),
        (2, 3, False),
    ]
    assert registers.sources(instruction("ISETP.GE.AND P0, PT, R4, UR5, PT")) == [(2, 4, False)]
