"""Which architectures have an instruction, as far as code is written for one and run on another."""

import re

#: What architecture an instruction came with; the first row that fits counts.
_SINCE = (
    (r"wgmma\.|setmaxnreg\.|tensormap\.replace", 90),
    (r"cp\.(reduce\.)?async\.bulk|tensormap\.|barrier\.cluster|mapa|getctarank|elect\.", 90),
    (r"griddepcontrol|stmatrix|(st|red)\.async|fence\.(proxy\.async|mbarrier_init)", 90),
    (r"mbarrier\.(try_wait|expect_tx|complete_tx)", 90),
    (r"mma\..*\.e[45]m[23]\.", 89),
    (r"cp\.async|mbarrier\.|redux\.|createpolicy|applypriority|discard", 80),
    (r"mma\..*\.(bf16|tf32|f64)\.|wmma\..*\.(bf16|tf32|f64)", 80),
    (r"ldmatrix|movmatrix|mma\.sync\.aligned\.m16|tanh\.", 75),
    (r"w?mma\.|match\.|nanosleep", 70),
)
_TABLE = [(re.compile(pattern), since) for pattern, since in _SINCE]
#: Those that only targets of one architecture (``sm_90a``) or family have.
_PARTICULAR = re.compile(r"wgmma\.|setmaxnreg\.|tensormap\.replace")
TARGET = re.compile(r"sm_([2-9]\d|1\d\d)([af]?)")


def lacks(target: str, opcode: str) -> str | None:
    """Why a target has not an instruction; None if it has it.

    Examples
    --------
    >>> lacks("sm_80", "elect.sync")
    'elect.sync is there from sm_90 on, the text is for sm_80'
    >>> lacks("sm_90", "wgmma.fence.sync.aligned")
    'wgmma.fence.sync.aligned is there for sm_90a only, the text is for sm_90'
    """
    match = TARGET.fullmatch(target)
    assert match is not None
    own = int(match[1])
    for pattern, since in _TABLE:
        if not pattern.match(opcode):
            continue
        if opcode.startswith("wgmma."):
            return None if target == "sm_90a" else _only(opcode, "for sm_90a only", target)
        if own < since:
            return _only(opcode, f"from sm_{since} on", target)
        if _PARTICULAR.match(opcode) and not match[2]:
            return _only(opcode, f"for targets such as sm_{since}a only", target)
        return None
    return None


def _only(opcode: str, where: str, target: str) -> str:
    return f"{opcode} is there {where}, the text is for {target}"
