"""Random small kernels, each with its verdict: whether two of its accesses race.

A kernel is a list of steps that every thread of every block goes through. The verdict comes from
the definition, not from clocks: the steps are played in the order in which the emulator runs
threads and blocks, every event keeps the set of all events that certainly happened before it, and
every pair of accesses to one byte is looked at.
"""

import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

WARP = 32
WORDS = 256  # of each array

SCOPES = ("fence", "fence_block")  # what the first publishes, the second does as well

Thread = tuple[int, int]  # block, thread


@dataclass(frozen=True)
class Step:
    """One statement: who executes it, its code, and what it does.

    `kind` is read, write, atomic, failed (an atomic that changes nothing), volatile_read,
    volatile_write, fence, fence_block, barrier or syncwarp.
    """

    kind: str
    code: str
    who: Callable[[int, int], bool] = lambda b, t: True
    array: str = ""
    index: Callable[[int, int], int] = lambda b, t: 0
    size: int = 4
    mask: int = 0


@dataclass
class Kernel:
    name: str
    threads: int
    blocks: int
    steps: list[Step] = field(default_factory=list)

    @property
    def code(self) -> str:
        body = "\n".join(f"    {step.code}" for step in self.steps)
        return f"""extern "C" __global__ void {self.name}(int* g, int* flags, int* out) {{
    __shared__ int s[{WORDS}];
    int b = blockIdx.x, t = threadIdx.x, sum = 0;
    if (t == 0) for (int i = 0; i < {WORDS}; ++i) s[i] = 0;
    __syncthreads();
{body}
    out[b * blockDim.x + t] = sum;
}}
"""


def generate(name: str, seed: int) -> Kernel:
    """A kernel drawn from `seed`."""
    draw = random.Random(seed)
    kernel = Kernel(name, draw.choice([33, 40, 64, 70, 96]), draw.choice([1, 1, 1, 2, 3]))
    uses_flags = draw.random() < 0.5
    for _ in range(draw.randint(3, 9)):
        kind = draw.random()
        if kind < 0.22:
            kernel.steps.append(Step("barrier", "__syncthreads();"))
        elif kind < 0.42:
            kernel.steps.append(_syncwarp(draw, kernel))
        elif kind < 0.62 and uses_flags:
            kernel.steps += _handover(draw, kernel)
        else:
            kernel.steps += _accesses(draw, kernel)
    return kernel


def _someone(draw: random.Random, kernel: Kernel) -> tuple[str, Callable[[int, int], bool]]:
    """Which threads: a condition in C and in Python."""
    block = draw.choice([None, None, *range(kernel.blocks)])
    first = draw.choice([0, 1, 2, 5, 31, 32, draw.randrange(kernel.threads)])
    last = draw.choice([first, first, first, first + 1, first + 3, kernel.threads - 1])
    if draw.random() < 0.15:
        first, last = 0, kernel.threads - 1
    code = f"t >= {first} && t <= {last}" if first != last else f"t == {first}"
    if block is None:
        return code, lambda b, t: first <= t <= last
    return f"b == {block} && {code}", lambda b, t: b == block and first <= t <= last


def _place(draw: random.Random, kernel: Kernel) -> tuple[str, Callable[[int, int], int]]:
    """An index, mostly one that no other thread uses."""
    base = draw.choice([0, 0, 96])
    n = kernel.threads
    choices: list[tuple[str, Callable[[int, int], int]]] = [
        (f"{base} + t", lambda b, t: base + t),
        (f"{base} + t", lambda b, t: base + t),
        (f"{base} + {n} - 1 - t", lambda b, t: base + n - 1 - t),
        (f"{base} + t / 2", lambda b, t: base + t // 2),
        (f"{base} + (t ^ 1)", lambda b, t: base + (t ^ 1)),
        (f"{base} + (t + 1) % {n}", lambda b, t: base + (t + 1) % n),
        (f"{base}", lambda b, t: base),
        (f"{base + 3}", lambda b, t: base + 3),
    ]
    return draw.choice(choices)


def _accesses(draw: random.Random, kernel: Kernel) -> list[Step]:
    condition, who = _someone(draw, kernel)
    index, where = _place(draw, kernel)
    array = draw.choice("sgd")
    number = len(kernel.steps) * 1000 + 1
    kind = draw.choice(["read", "read", "write", "write", "atomic", "update", "bytes"])
    if array != "s" and draw.random() < 0.15:
        kind = draw.choice(["volatile_read", "volatile_write"])
    place = f"{array}[{index}]"
    common = {"who": who, "array": array, "index": where}
    code = {
        "read": f"sum += {place};",
        "write": f"{place} = {number} + t;",
        "atomic": f"sum += atomicAdd(&{place}, {number} + t);",
        "volatile_read": f"sum += *(volatile int*)&{place};",
        "volatile_write": f"*(volatile int*)&{place} = {number} + t;",
    }
    if kind in code:
        return [Step(kind, f"if ({condition}) {code[kind]}", **common)]
    if kind == "update":
        return [
            Step("read", f"if ({condition}) {{ int v = {place};", **common),
            Step("write", f"{place} = v + {number} + t; }}", **common),
        ]
    common["index"] = lambda b, t: 4 * (where(b, t) // 4) + t % 4
    byte = f"((unsigned char*){array})[({index}) / 4 * 4 + t % 4]"
    kind = draw.choice(["read", "write"])
    code = {"read": f"sum += {byte};", "write": f"{byte} = (unsigned char)({number} + t);"}
    return [Step(kind, f"if ({condition}) {code[kind]}", size=1, **common)]


def _syncwarp(draw: random.Random, kernel: Kernel) -> Step:
    mask = draw.choice([0xFFFFFFFF, 0xFFFFFFFF, 0x3, 0xF, 0x00FF00FF, 0x80000001, 0x2A])
    warp = draw.choice([None, None, *range((kernel.threads + WARP - 1) // WARP)])
    code = f"if ({mask}u >> t % 32 & 1) __syncwarp({mask}u);"
    if warp is not None:
        code = f"if (t / 32 == {warp}) {code}"

    def who(b: int, t: int) -> bool:
        return bool(mask >> t % WARP & 1) and warp in (None, t // WARP)

    return Step("syncwarp", code, who, mask=mask)


def _handover(draw: random.Random, kernel: Kernel) -> list[Step]:
    """One thread sets a flag, others ask for it: with a fence or without, of either kind."""
    flag = draw.randrange(2)
    block = draw.randrange(kernel.blocks)
    thread = draw.choice([0, 1, 31, 32])
    condition, who = f"b == {block} && t == {thread}", lambda b, t: (b, t) == (block, thread)
    common = {"array": "f", "index": lambda b, t: flag}
    steps = []
    fence = draw.choice(["fence", "fence", "fence_block", ""])
    if fence:
        call = {"fence": "__threadfence()", "fence_block": "__threadfence_block()"}[fence]
        steps.append(Step(fence, f"if ({condition}) {call};", who))
    if draw.random() < 0.2:
        steps += _accesses(draw, kernel)
    if draw.random() < 0.15:
        steps.append(Step("barrier", "__syncthreads();"))
    kind = draw.choice(["atomic", "volatile_write", "failed"])
    code = {
        "atomic": f"sum += atomicAdd(&flags[{flag}], 1);",
        "volatile_write": f"*(volatile int*)&flags[{flag}] = 1;",
        "failed": f"sum += atomicCAS(&flags[{flag}], -1, 5);",
    }
    steps.append(Step(kind, f"if ({condition}) {code[kind]}", who, **common))
    condition, who = _someone(draw, kernel)
    kind = draw.choice(["atomic", "volatile_read"])
    code = {
        "atomic": f"sum += atomicAdd(&flags[{flag}], 0);",
        "volatile_read": f"sum += *(volatile int*)&flags[{flag}];",
    }
    steps.append(Step(kind, f"if ({condition}) {code[kind]}", who, **common))
    return steps


def races(kernel: Kernel, reverse: bool) -> bool:
    """Whether any two accesses of the kernel race, with blocks and threads in that order."""
    history = _History(kernel)
    blocks = range(kernel.blocks)
    for block in reversed(blocks) if reverse else blocks:
        _play(kernel, block, reverse, history)
    return history.raced


def _play(kernel: Kernel, block: int, reverse: bool, history: "_History") -> None:
    """Run one block as the emulator does: a thread runs until it must wait."""
    order = sorted(range(kernel.threads), reverse=reverse)
    at = dict.fromkeys(order, 0)
    waiting: list[int] = []
    meetings: dict[tuple[int, int], list[int]] = defaultdict(list)
    turns = deque(order)
    while turns:
        thread = turns.popleft()
        while at[thread] < len(kernel.steps):
            position = at[thread]
            step = kernel.steps[position]
            at[thread] += 1
            if step.kind == "barrier":
                waiting.append(thread)
                if len(waiting) == kernel.threads:
                    history.met([(block, t) for t in order])
                    turns.extend(order)
                    waiting.clear()
                break
            if not step.who(block, thread):
                continue
            if step.kind != "syncwarp":
                history.event(block, thread, step)
                continue
            first = thread // WARP * WARP
            lanes = [
                t
                for t in range(first, min(kernel.threads, first + WARP))
                if step.mask >> t % WARP & 1
            ]
            met = meetings[position, first]
            met.append(thread)
            if len(met) < len(lanes):
                break
            history.met([(block, t) for t in lanes])
            turns.extend(t for t in lanes if t != thread)
            met.clear()


def _join(known: dict[Thread, int], threads: list[Thread]) -> None:
    together = 0
    for thread in threads:
        together |= known[thread]
    for thread in threads:
        known[thread] = together


@dataclass
class _Event:
    thread: Thread
    step: Step
    number: int  # its bit in the sets of events


class _History:
    """All events so far; sets of events are the bits of an integer."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.raced = False
        self.count = 0
        self.before: dict[Thread, int] = defaultdict(int)  # what certainly came before now
        # Of that, what a fence has published.
        self.published: dict[str, dict[Thread, int]] = {s: defaultdict(int) for s in SCOPES}
        # By place: what its writers handed over, to whom (scope and block).
        self.handed: dict[tuple[str, int, int], list[tuple[int, str, int]]] = defaultdict(list)
        self.bytes: dict[tuple[str, int, int], list[_Event]] = defaultdict(list)

    def met(self, threads: list[Thread]) -> None:
        _join(self.before, threads)
        for scope in SCOPES:
            _join(self.published[scope], threads)

    def event(self, block: int, t: int, step: Step) -> None:
        thread = (block, t)
        if step.kind.startswith("fence"):
            for scope in SCOPES[SCOPES.index(step.kind) :]:
                self.published[scope][thread] = self.before[thread]
            return
        owner = block if step.array == "s" else -1
        first = 4 * step.index(block, t) if step.size == 4 else step.index(block, t)
        place = (step.array, owner, first)
        strong = step.kind in ("atomic", "failed", "volatile_read", "volatile_write")
        if strong and step.kind != "volatile_write":  # it reads
            for handed, scope, of in self.handed[place]:
                if scope == "fence" or of == block:
                    self.before[thread] |= handed
        event = _Event(thread, step, self.count)
        self.count += 1
        for byte in range(first, first + step.size):
            for other in self.bytes[step.array, owner, byte]:
                self._compare(other, event)
            self.bytes[step.array, owner, byte].append(event)
        self.before[thread] |= 1 << event.number
        if step.kind == "volatile_write":
            self.handed[place].clear()
        if step.kind in ("atomic", "volatile_write"):
            for scope in SCOPES:
                self.handed[place].append((self.published[scope][thread], scope, block))

    def _compare(self, before: _Event, now: _Event) -> None:
        kinds = before.step.kind, now.step.kind
        if not any("write" in kind or kind == "atomic" for kind in kinds):
            return
        if all(kind in ("atomic", "failed") or "volatile" in kind for kind in kinds):
            return
        if not self.before[now.thread] >> before.number & 1:
            self.raced = True
