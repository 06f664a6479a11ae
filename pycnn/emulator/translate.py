"""CUDA C++ into C++ that a host compiler takes.

Nearly all of CUDA's language is macros, types and functions, which the prelude provides. What
needs the text itself is rewritten here, after preprocessing, so that macros and includes have been
resolved and every line still says where it came from:

* ``__shared__`` variables, which become references into the block's memory,
* ``extern __shared__``, a pointer to its dynamic part,
* ``__global__``, whose functions are collected as entries,
* ``__constant__``, whose variables are collected,
* ``#pragma unroll``, which GCC spells differently.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Text before this line is the prelude, which needs no rewriting.
USER_CODE = "#pragma pycnn_user_code"

#: Unrolling of a loop whose pragma gives no literal count.
DEFAULT_UNROLL = 32

_TOKEN = re.compile(
    r"""
    (?P<marker>^[ \t]*\#[ \t]*(?:line[ \t]+)?(?P<line>\d+)[ \t]+"(?P<file>[^"]*)"[^\n]*$)
  | (?P<pragma>^[ \t]*\#[^\n]*$)
  | (?P<raw>R"(?P<delim>[^()\\\s]{0,16})\(.*?\)(?P=delim)")
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<char>'(?:\\.|[^'\\\n])+')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\.?\d(?:[\w.']|[eEpP][+-])*)
  | (?P<newline>\n)
  | (?P<space>[ \t\r\f\v]+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_UNROLL = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+unroll[ \t]*\(?[ \t]*(\d+)?")


class TranslationError(ValueError):
    """CUDA C++ that the emulator cannot run; names file, line and what to write instead."""


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    file: str
    line: int


@dataclass
class Translation:
    """Rewritten source, the kernels defined in it (those that are no templates), and the names of
    its ``__constant__`` variables without their namespaces."""

    text: str
    kernels: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)


def translate(preprocessed: str) -> Translation:
    """Rewrite preprocessed CUDA C++.

    Parameters
    ----------
    preprocessed : str
        Output of the preprocessor, with line markers.

    Returns
    -------
    Translation

    Raises
    ------
    TranslationError
        For inline PTX, ``<<<...>>>`` and shared variables outside a function.
    """
    prelude, marker, user = preprocessed.partition(USER_CODE)
    if not marker:
        prelude, user = "", preprocessed
    rewriter = _Rewriter(list(_tokens(user)))
    body = rewriter.run()
    return Translation(prelude + body, rewriter.kernels, rewriter.constants)


def _tokens(text: str) -> Iterator[Token]:
    file, line = "", 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if match["marker"] is not None:
            kind = "marker"
        elif match["raw"] is not None:
            kind = "string"
        yield Token(kind, match[0], file, line)
        if kind == "marker":
            file, line = match["file"], int(match["line"]) - 1  # the newline after it counts
        else:
            line += match[0].count("\n")


class _Rewriter:
    """One pass over the tokens, with the stack of open braces."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.out: list[str] = []
        self.kernels: list[str] = []
        self.constants: list[str] = []
        self.scopes: list[str] = []  # "" for extern "C", "name" for a namespace, "{" for others
        self.statement: list[Token] = []  # tokens since the last ; { or }
        self.system = False  # in a system header, whose assembly is the host's own
        self.slots = 0

    def run(self) -> str:
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            handler = getattr(self, f"_{token.kind}", None)
            if handler:
                handler(token)
            else:
                self._emit(token)
        return "".join(self.out)

    def _emit(self, token: Token) -> None:
        self.out.append(token.text)
        if token.kind not in ("space", "newline"):
            self.statement.append(token)

    def _marker(self, token: Token) -> None:
        self.system = "3" in token.text.rpartition('"')[2].split()
        self.out.append(token.text)

    def _pragma(self, token: Token) -> None:
        unroll = _UNROLL.match(token.text)
        if unroll:
            count = int(unroll[1]) if unroll[1] else DEFAULT_UNROLL
            self.out.append(f"#pragma GCC unroll {max(count, 1)}")
        else:
            self.out.append(token.text)

    def _other(self, token: Token) -> None:
        if token.text == "{":
            self.scopes.append(self._scope_kind())
        elif token.text == "}" and self.scopes:
            self.scopes.pop()
        elif token.text == "<" and self._ahead("<<"):
            self._refuse(token, "launching from a kernel (<<<...>>>) is not emulated")
        self._emit(token)
        if token.text in ";{}":
            self.statement.clear()

    def _scope_kind(self) -> str:
        words = [t.text for t in self.statement if t.kind in ("word", "string")]
        if words[:1] == ["extern"] and '"C"' in words and "(" not in self._statement_text():
            return ""
        if "namespace" in words and "(" not in self._statement_text():
            after = words[words.index("namespace") + 1 :]
            return after[0] if after else "(anonymous)"
        return "{"

    def _statement_text(self) -> str:
        return " ".join(t.text for t in self.statement)

    def _ahead(self, text: str) -> bool:
        following = self.tokens[self.at : self.at + len(text)]
        return "".join(t.text for t in following) == text

    def _word(self, token: Token) -> None:
        if token.text == "__shared__":
            self._shared(token)
        elif token.text == "__global__":
            self._global()
        elif token.text == "__constant__":
            self._constant()
        elif token.text in ("asm", "__asm__", "__asm") and not self.system:
            self._refuse(
                token,
                "inline PTX is not emulated by the source; allowed: via='ptx' (extra emulator)",
            )
        else:
            self._emit(token)

    def _following(self, count: int) -> list[Token]:
        words = self.tokens[self.at : self.at + count]
        return [t for t in words if t.kind not in ("space", "newline", "marker")]

    def _refuse(self, token: Token, message: str) -> None:
        raise TranslationError(f"{token.file}:{token.line}: {message}")

    def _global(self) -> None:
        """Drop the word; remember the function if it is no template."""
        name = ""
        depth = 0
        for token, following in itertools.pairwise(self._following(80)):
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            called = depth == 0 and token.kind == "word" and following.text == "("
            if called and token.text not in ("__attribute__", "alignas"):
                name = token.text
                break
        template = any(t.text == "template" for t in self.statement)
        if name and not template and "{" not in self.scopes and "(anonymous)" not in self.scopes:
            qualified = "::".join([s for s in self.scopes if s] + [name])
            if qualified not in self.kernels:
                self.kernels.append(qualified)

    def _constant(self) -> None:
        """Drop the word; remember what the declaration declares."""
        for token, following in itertools.pairwise(self._following(80)):
            if token.kind == "word" and following.text in ("[", ",", ";", "=", "{"):
                self.constants.append(token.text)
            if following.text in (";", "=", "{"):
                break

    def _shared(self, token: Token) -> None:
        """Rewrite one declaration, from ``__shared__`` to its semicolon."""
        before = self._take_back("extern", "static", "volatile")
        declaration = self._until_semicolon(token)
        parts = [t for t in declaration if t.kind not in ("space", "newline", "marker")]
        dynamic = "extern" in before or any(t.text == "extern" for t in parts)
        parts = [t for t in parts if t.text not in ("extern", "static")]
        parts, alignment = _take_alignment(parts)
        type_text, declarators = _declarators(parts)
        if "volatile" in before:
            type_text = f"volatile {type_text}"
        in_function = "{" in self.scopes
        for name, dims in declarators:
            if dynamic:
                self.out.append(_dynamic(type_text, name, in_function))
            elif in_function:
                self.slots += 1
                self.out.append(_static(type_text, name, dims, alignment, self.slots, token))
            else:
                self._refuse(token, f"move the shared variable {name} into the kernel")
        self.out.append("\n" * sum(t.text.count("\n") for t in declaration))
        self.statement.clear()

    def _take_back(self, *words: str) -> set[str]:
        """Remove those of `words` that stand just before, and say which did."""
        taken: set[str] = set()
        while self.statement and self.statement[-1].text in words:
            word = self.statement.pop().text
            del self.out[len(self.out) - 1 - self.out[::-1].index(word)]
            taken.add(word)
        return taken

    def _until_semicolon(self, start: Token) -> list[Token]:
        taken: list[Token] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.text == ";":
                return taken
            taken.append(token)
        self._refuse(start, "a __shared__ declaration has no end")
        raise AssertionError


def _take_alignment(parts: list[Token]) -> tuple[list[Token], str]:
    """Split ``__attribute__((aligned(n)))`` (which __align__ becomes) and ``alignas(n)`` off."""
    rest: list[Token] = []
    alignment = ""
    i = 0
    while i < len(parts):
        if parts[i].text in ("alignas", "__attribute__"):
            end = _matching(parts, i + 1)
            text = "".join(t.text for t in parts[i : end + 1])
            match = re.fullmatch(r"(?:alignas|__attribute__\(\(aligned)\((.*?)\)+", text)
            alignment = match[1] if match else alignment
            i = end + 1
        else:
            rest.append(parts[i])
            i += 1
    return rest, alignment


def _matching(parts: list[Token], start: int) -> int:
    depth = 0
    for i in range(start, len(parts)):
        depth += {"(": 1, ")": -1}.get(parts[i].text, 0)
        if depth == 0:
            return i
    return len(parts) - 1


def _declarators(parts: list[Token]) -> tuple[str, list[tuple[str, str]]]:
    """Type and (name, dimensions) of each declared variable."""
    groups: list[list[Token]] = [[]]
    depth = 0
    for token in parts:
        depth += {"(": 1, "[": 1, "<": 1, ")": -1, "]": -1, ">": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            groups.append([])
        else:
            groups[-1].append(token)
    first = groups[0]
    name_at = max(
        i
        for i, t in enumerate(first)
        if t.kind == "word" and (i + 1 == len(first) or first[i + 1].text == "[") and _top(first, i)
    )
    type_text = " ".join(t.text for t in first[:name_at])
    declared = []
    for i, group in enumerate(groups):
        tokens = group[name_at:] if i == 0 else group
        declared.append((tokens[0].text, " ".join(t.text for t in tokens[1:])))
    return type_text, declared


def _top(parts: list[Token], index: int) -> bool:
    depth = 0
    for token in parts[:index]:
        depth += {"(": 1, "[": 1, "<": 1, ")": -1, "]": -1, ">": -1}.get(token.text, 0)
    return depth == 0


def _dynamic(type_text: str, name: str, in_function: bool) -> str:
    if in_function:
        return f'{type_text}* const {name} = pycnn_emu::dynamic_shared<{type_text}>("{name}");'
    return f'static const pycnn_emu::DynamicShared<{type_text}> {name}{{"{name}"}};'


def _static(type_text: str, name: str, dims: str, alignment: str, number: int, where: Token) -> str:
    array, slot = f"pycnn_emu_array_{number}", f"pycnn_emu_slot_{number}"
    file = where.file.replace("\\", "\\\\")
    align = f"alignof({array})"
    if alignment:
        align = f"({alignment}) > {align} ? ({alignment}) : {align}"
    return (
        f"using {array} = {type_text} {dims}; "
        f'static pycnn_emu::SharedVariable {slot} = {{"{name}", "{file}", {where.line}, '
        f"sizeof({array}), {align}, -1}}; "
        f"{array}& {name} = pycnn_emu::shared<{array}>({slot});"
    )
