"""PTX texts with something wrong: cut off, changed, of another kind, for another GPU."""

import random
import re

_WORDS = re.compile(r"[%$]?[\w$]+(?:\.[\w:]+)*|\.[a-z]\w*(?:[.:]\w+)*")
_NUMBERS = re.compile(r"(?<![\w%$.])\d+\b")
_ODD_NUMBERS = (
    "0", "1", "-1", "3", "7", "31", "33", "255", "1000000", "2147483648", "4294967296",
    "9223372036854775808", "18446744073709551616", "9" * 5000, "0x", "0b2", "089", "0f0", "1e999",
)  # fmt: skip
_CHARACTERS = "{}[]()<>,;:.%@!|-+=_09afrx$\"'\\/*\n\t \0\x7fé"
_TARGETS = ("sm_10", "sm_20", "sm_75", "sm_80", "sm_90", "sm_90a", "sm_100a", "sm_999", "sm_", "x")
_FOREIGN = (
    "",
    "\0" * 64,
    "\x7fELF\x02\x01\x01" + "\0" * 64,
    'extern "C" __global__ void f() {}\n',
    "define void @f() {\n  ret void\n}\n",
    "\t.text\n\t.globl main\nmain:\n\tret\n",
    "        /*0000*/  MOV R1, c[0x0][0x28] ;\n        /*0010*/  EXIT ;\n",
    "#version 450\nvoid main() {}\n",
    "<html>\n<body>404</body>\n</html>\n",
    "{" * 5000 + "\n",
    ".version 8.0\n" + "(" * 5000,
    "\n" * 10000,
)


def damaged(text: str, rng: random.Random) -> str:
    """A text with something removed, doubled, swapped or replaced, mostly in one place."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        text = rng.choice(_KINDS)(text, rng)
    return text


def _cut(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _hole(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + text[at + rng.choice((1, 2, 3, 10, 200)) :]


def _character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_CHARACTERS) + text[at + rng.choice((0, 1)) :]


def _word(text: str, rng: random.Random) -> str:
    """One word in the place of another: an opcode, a register, a type, a label."""
    words = list(_WORDS.finditer(text))
    if not words:
        return text
    at, other = rng.choice(words), rng.choice(words)
    return text[: at.start()] + other[0] + text[at.end() :]


def _modifier(text: str, rng: random.Random) -> str:
    """A part of an opcode gone, doubled or another's."""
    parts = list(re.finditer(r"(?<=\w)[.:]{1,2}[a-z]\w*", text))
    if not parts:
        return text
    at, other = rng.choice(parts), rng.choice(parts)
    return text[: at.start()] + rng.choice(("", 2 * at[0], other[0])) + text[at.end() :]


def _number(text: str, rng: random.Random) -> str:
    numbers = list(_NUMBERS.finditer(text))
    if not numbers:
        return text
    at = rng.choice(numbers)
    return text[: at.start()] + rng.choice(_ODD_NUMBERS) + text[at.end() :]


def _line(text: str, rng: random.Random) -> str:
    """A line gone, doubled, or swapped with another."""
    lines = text.split("\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        del lines[a]
    elif kind == 1:
        lines.insert(b, lines[a])
    else:
        lines[a], lines[b] = lines[b], lines[a]
    return "\n".join(lines)


def _piece(text: str, rng: random.Random) -> str:
    """Some of it once more, elsewhere."""
    at, of = rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)
    return text[:at] + text[of : of + rng.randrange(1, 400)] + text[at:]


def _target(text: str, rng: random.Random) -> str:
    return re.sub(r"\.target\s+\S+", f".target {rng.choice(_TARGETS)}", text, count=1)


def _head(text: str, rng: random.Random) -> str:
    version = rng.choice(("0.0", "1.0", "99.9", "8", "-8.0", "8.0.0"))
    return re.sub(r"\.version\s+\S+", f".version {version}", text, count=1)


def _foreign(text: str, rng: random.Random) -> str:
    return rng.choice(_FOREIGN) + rng.choice(("", text))


_KINDS = (
    *(_cut, _hole, _character, _character, _word, _word, _word, _modifier, _modifier) * 2,
    *(_number, _number, _line, _line, _line, _piece, _target, _head, _foreign),
)  # fmt: skip
