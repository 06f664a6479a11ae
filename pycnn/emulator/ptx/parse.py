"""A PTX text as far as its declarations: functions are found, their bodies are left unread.

Of a file with twenty entries one is launched; `statements` reads the body of that.
"""

import re

from pycnn.emulator.ptx.declare import variable_of
from pycnn.emulator.ptx.syntax import Function, Module, Variable
from pycnn.emulator.ptx.targets import TARGET
from pycnn.emulator.ptx.text import NAME, Source

_COMMENT = re.compile(r'"[^"\n]*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_SPACE = re.compile(r"\s*")
#: A number that no type holds: Python would refuse to read it, or take very long.
_ENDLESS = re.compile(r"(?<!\w)\d{400}")
_BRACE = re.compile(r'[{}]|"[^"\n]*"')

_LINKAGE = r"((?:\.(?:extern|visible|weak|common)\s+)*)"
_HEAD = re.compile(
    rf"""
      \.version\s+(?P<major>\d+)\.(?P<minor>\d+)
    | \.target\s+(?P<target>[\w]+(?:\s*,\s*\w+)*)
    | \.address_size\s+(?P<address_size>\d+)
    | \.file\s+(?P<file>\d+)\s+"(?P<path>[^"\n]*)"(?:\s*,\s*\d+\s*,\s*\d+)?
    | \.section\s+(?P<section>[\w.]+)\s*(?=\{{)
    | \.pragma\s+"[^"\n]*"\s*;
    | \.loc\s[^\n]*
    | {_LINKAGE}\.(?P<function>entry|func)\b
    | (?P<linkage>{_LINKAGE})\.(?P<space>global|const|shared)\b
    """,
    re.VERBOSE,
)
_FUNCTION = re.compile(
    rf"""\s*(?P<noreturn>\.noreturn\s+)?(?:\((?P<results>[^()]*)\)\s*)?
    (?P<name>{NAME})\s*(?:\((?P<parameters>[^()]*)\))?\s*(?P<attributes>[^;{{]*)(?P<end>[;{{])""",
    re.VERBOSE,
)
_SHAPE = re.compile(
    r"\.(maxntid|reqntid|reqnctapercluster)\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?"
)
_STRING_LABEL = re.compile(rf"({NAME})\s*:((?:\s*\.b8[^:$]*)*)")


def parse(text: str, name: str = "kernel.ptx") -> Module:
    """Read the declarations of a PTX text.

    Parameters
    ----------
    text : str
        The PTX.
    name : str
        What messages call it.

    Raises
    ------
    PtxError
        If it is malformed; names the line.

    Examples
    --------
    >>> parse('''.version 8.0
    ... .target sm_80
    ... .address_size 64
    ... .visible .entry nothing() { ret; }''').target
    'sm_80'
    """
    return _ModuleParser(text, name).parse()


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else "\n" * m[0].count("\n") or " ", text)


class _ModuleParser(Source):
    def __init__(self, text: str, name: str) -> None:
        super().__init__(_without_comments(text), name)
        self.module = Module(name, self.text)

    def parse(self) -> Module:
        text, module = self.text, self.module
        endless = _ENDLESS.search(text)
        if endless is not None:
            self.fail(endless.start(), "a number has hundreds of digits")
        at = self._skip(0)
        while at < len(text):
            head = _HEAD.match(text, at)
            if head is None:
                self.fail(at, f"{self.here(at)} is no declaration of PTX")
            if not module.version[0] and head["major"] is None:
                self.fail(at, "a PTX text begins with .version")
            at = self._skip(self._declaration(head))
        if not module.version[0]:
            self.fail(0, "the text is empty; a PTX text begins with .version")
        if not module.target:
            self.fail(0, "the text has no .target")
        if module.address_size != 64:
            self.fail(0, f".address_size {module.address_size}; allowed: 64")
        return module

    def _skip(self, at: int) -> int:
        return _SPACE.match(self.text, at).end()  # type: ignore[union-attr]

    def _declaration(self, head: re.Match[str]) -> int:
        """Take in one declaration; returns where it ends."""
        module = self.module
        if head["major"]:
            module.version = int(head["major"]), int(head["minor"])
        elif head["target"]:
            module.target = head["target"].split(",")[0].strip()
            if not TARGET.fullmatch(module.target):
                self.fail(head.start(), f".target {module.target}; allowed: such as sm_80, sm_90a")
        elif head["address_size"]:
            module.address_size = int(head["address_size"])
        elif head["file"]:
            module.files[int(head["file"])] = head["path"]
        elif head["section"]:
            return self._section(head)
        elif head["function"]:
            return self._function(head)
        elif head["space"]:
            return self._variable(head)
        return head.end()

    def _section(self, head: re.Match[str]) -> int:
        end = self._closing(head.end())
        if head["section"] == ".debug_str":
            for label, data in _STRING_LABEL.findall(self.text[head.end() + 1 : end]):
                numbers = bytes(
                    int(n) & 255 for n in re.findall(r"\b\d+\b", data.replace(".b8", ""))
                )
                self.module.strings[label] = numbers.split(b"\0")[0].decode(errors="replace")
        return end + 1

    def _closing(self, opening: int) -> int:
        """Where the brace that opens there closes."""
        depth = 0
        for brace in _BRACE.finditer(self.text, opening):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                return brace.start()
        raise self.error(opening, "the brace that opens here is never closed")

    def _function(self, head: re.Match[str]) -> int:
        match = _FUNCTION.match(self.text, head.end())
        if match is None:
            self.fail(head.start(), f"malformed .{head['function']}: {self.here(head.start())}")
        begin = end = -1
        after = match.end()
        if match["end"] == "{":
            begin = match.end()
            end = self._closing(begin - 1)
            after = end + 1
        function = Function(
            name=match["name"],
            is_entry=head["function"] == "entry",
            parameters=self._parameters(match, "parameters"),
            results=self._parameters(match, "results"),
            line=self.line(head.start()),
            begin=begin,
            end=end,
            noreturn=".noreturn" in (match["noreturn"] or "") + match["attributes"],
        )
        for kind, *extents in _SHAPE.findall(match["attributes"]):
            x, y, z = (int(e or 1) for e in extents)
            if kind == "maxntid":
                function.max_threads = x, y, z
            elif kind == "reqntid":
                function.required_threads = x, y, z
            else:
                function.required_cluster = x, y, z
        known = self.module.functions.get(function.name)
        if known is not None and known.begin >= 0 and begin >= 0:
            self.fail(head.start(), f"{function.name} is defined again")
        if known is None or begin >= 0:
            self.module.functions[function.name] = function
        return after

    def _parameters(self, match: re.Match[str], group: str) -> list[Variable]:
        text = match[group]
        if not text or not text.strip():
            return []
        variables: list[Variable] = []
        end = 0
        at = match.start(group)
        for part in text.split(","):
            space = re.match(r"\s*\.(param|reg)\b", part)
            if space is None:
                self.fail(at, f"{part.strip()!r} is no parameter")
            variable = variable_of(self, at + space.end(), part[space.end() :], space[1])
            variable.offset = end = -(-end // variable.align) * variable.align
            end += variable.size
            variables.append(variable)
            at += len(part) + 1
        return variables

    def _variable(self, head: re.Match[str]) -> int:
        end = self.text.find(";", head.end())
        if end < 0:
            self.fail(head.start(), f"no ';' behind {self.here(head.start())}")
        variable = variable_of(self, head.end(), self.text[head.end() : end], head["space"])
        variable.extern = "extern" in head["linkage"]
        known = self.module.variables.get(variable.name)
        if known is not None and not (known.extern or variable.extern):
            self.fail(head.start(), f"{variable.name} is defined again")
        if known is None or known.extern:
            self.module.variables[variable.name] = variable
        return end + 1
