"""What a command line of ``pycnn bench`` asks for, as benchmarks."""

import argparse
import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pycnn
from pycnn.bench import kernelbench, networks
from pycnn.bench.cases import Case, ConvCase
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import BACKWARD, DIRECTIONS, FORWARD, Operation
from pycnn.bench.operations.defined import Defined, NamedCase
from pycnn.bench.peers import PEERS, missing, of_peer
from pycnn.bench.run import Benchmark, plan
from pycnn.bench.runners import Runner, of_pycnn
from pycnn.bench.suites import SUITES, Layer
from pycnn.dtypes import FLOATING, FLOATS
from pycnn.models import MODELS
from pycnn.runtime.files import require_file
from pycnn.runtime.text import did_you_mean
from pycnn.testing.problem import named
from pycnn.testing.tested import TestedGradient

#: Of options that `--case` says as well.
DEFAULTS = {"op": "conv2d", "direction": "forward", "dtype": "float32"}

#: The suite of the layers that definitions call standard.
STANDARD = "standard"


def benchmarks(arguments: argparse.Namespace) -> list[Benchmark]:
    """Everything that is to be run.

    Raises
    ------
    ValueError
        For an option that cannot be met; lists what exists.
    """
    halves = arguments.dtype is None and arguments.case is None and not arguments.prepare
    arguments = _settled(arguments)
    if arguments.op == "all":
        return _all_operations(arguments)
    op = (
        Defined(arguments.op)
        if arguments.case
        else OPERATIONS[_one_of("--op", arguments.op, (*OPERATIONS, "all"))]
    )
    directions = directions_of(op, arguments.direction)
    dtypes = listed("--dtype", arguments.dtype, op.dtypes)
    # --prepare: the words of a run, where who takes part in it may be missing
    backends = [] if arguments.prepare else _backends(arguments.backend)
    peers = [] if arguments.prepare else _peers(arguments.against)
    suite, layers = layers_of(arguments, op)
    checked = _halves(op) if halves and "emulator" in backends else []
    algos = _algorithms(arguments.algo, op, layers, directions, [*dtypes, *checked], backends)

    def runners(case: Case, direction: str, dtype: str) -> list[Runner]:
        ours = [c for name in backends for c in of_pycnn(name, op, case, direction, dtype)]
        if algos is not None:
            # Beside kernels, the CPU path's own choice stays to compare with.
            beside = [] if backends == ["reference"] or _has_method(ours, algos) else ["auto"]
            ours = [
                c
                for c in ours
                if {c.algorithm, c.chosen} & set(algos)
                or (c.backend == "reference" and c.algorithm in beside)
            ]
        return ours + [c for peer in peers for c in of_peer(peer, op, dtype)]

    def emulated(case: Case, direction: str, dtype: str) -> list[Runner]:
        return [c for c in runners(case, direction, dtype) if c.backend == "emulator"]

    planned = plan(suite, op, layers, directions, dtypes, runners)
    return planned + plan(suite, op, _kinds(layers), directions, checked, emulated)


def _has_method(runners: Sequence[Runner], algos: Sequence[str]) -> bool:
    """Whether a method of the CPU path is asked for."""
    return any(c.backend == "reference" and {c.algorithm, c.chosen} & set(algos) for c in runners)


def _halves(op: Operation) -> list[str]:
    """The 16-bit dtypes, of which NumPy has bfloat16 by a package only."""
    without = set() if importlib.util.find_spec("ml_dtypes") else {"bfloat16"}
    return [d for d in op.dtypes if FLOATS[d].is_half and d not in without]


def _kinds(layers: Sequence[Layer]) -> list[Layer]:
    """The first layer of each kind: convolutions differ in filter, stride, dilation and groups."""
    kinds: dict[Any, Layer] = {}
    for layer in layers:
        case = layer.case
        kind = (
            (case.r, case.s, case.stride, case.dilation, case.groups > 1)
            if isinstance(case, ConvCase)
            else None
        )
        kinds.setdefault(kind, layer)
    return list(kinds.values())


def _peers(text: str | None) -> list[str]:
    """Those named, which must be here; by default those that are."""
    if text is None:
        return [peer for peer in PEERS if not missing(peer)]
    if text.strip() == "none":
        return []
    peers = listed("--against", text, (*PEERS, "none"))
    for peer in peers:
        reason = missing(peer) if peer in PEERS else "allowed alone"
        if reason:
            raise ValueError(f"--against {peer}: {reason}")
    return peers


def _settled(arguments: argparse.Namespace) -> argparse.Namespace:
    """With defaults, or with what `--case` says of operation, direction and dtype."""
    if arguments.case is None:
        explicit = {name: value for name, value in vars(arguments).items() if value is not None}
        return argparse.Namespace(**{**vars(arguments), **DEFAULTS, **explicit})
    others = ("suite", "shape", "op", "direction", "algo", "dtype", "batch")
    for name in others:
        if getattr(arguments, name) is not None:
            raise ValueError(f"--case says all of {', '.join(others)}; allowed: without {name}")
    problem = named(arguments.case)
    if problem.view:
        raise ValueError(f"--case {arguments.case!r}; allowed: without {problem.view!r}")
    tested = problem.tested
    direction = BACKWARD if isinstance(tested, TestedGradient) else FORWARD
    op = tested.forward.op if isinstance(tested, TestedGradient) else tested.op
    said = {"op": op.name, "direction": direction, "dtype": problem.dtype}
    return argparse.Namespace(**{**vars(arguments), **said})


def _all_operations(arguments: argparse.Namespace) -> list[Benchmark]:
    """Every operation that has layers of the suite, in turns, as far as it has the dtypes."""
    suites = (STANDARD, kernelbench.NAME)
    if arguments.suite not in suites:
        raise ValueError(f"--op all; allowed: with the suites {', '.join(suites)}")
    listed("--dtype", arguments.dtype, FLOATING)
    plans = []
    for name, op in OPERATIONS.items():
        dtypes = [d for d in arguments.dtype.split(",") if d.strip() in op.dtypes]
        directions = DIRECTIONS if arguments.direction == "all" else (arguments.direction,)
        layers = op.standard_layers() if arguments.suite == STANDARD else kernelbench.layers(name)
        if dtypes and layers and set(directions) & set(op.directions):
            one = {**vars(arguments), "op": name, "dtype": ",".join(dtypes)}
            plans += benchmarks(argparse.Namespace(**one))
    return plans


def kernels(text: str | None, benchmarks: Sequence[Benchmark]) -> list[str] | None:
    """Algorithms of the kernels that are named, each of which some layer has; None for all."""
    if text is None:
        return None
    offered = dict.fromkeys(
        a.name for b in benchmarks for a in b.op.algorithms(b.layer.case, b.direction, b.dtype)
    )
    return listed("--algo", text, tuple(offered))


def command_line(arguments: argparse.Namespace, command: str = "bench") -> str:
    """The command that asks for the same again; where it writes to is left out."""
    words = [f"pycnn {command}", *filter(None, (arguments.suite,))]
    words += [f"--arg {shlex.quote(one)}" for one in arguments.own]
    if arguments.case:
        words.append(f"--case {shlex.quote(arguments.case)}")
    names = (
        "shape",
        "op",
        "direction",
        "algo",
        "dtype",
        "batch",
        "backend",
        "against",
        "gpu",
        "threads",
        "workers",
        "scheduler",
    )
    for name in names:
        # Without --dtype 16 bits are checked too, so the default is not put into words.
        default = not arguments.case and name != "dtype" and DEFAULTS.get(name)
        value = getattr(arguments, name, None) or default
        if value:
            words.append(f"--{name} {value}")
    return " ".join(words + ["--quick"] * arguments.quick)


def layers_of(arguments: argparse.Namespace, op: Operation) -> tuple[str, list[Layer]]:
    if arguments.own and arguments.suite not in MODELS:
        raise ValueError(
            f"--arg {arguments.own[0]}: it says how a network of pycnn.models is made; "
            "allowed with the name of one"
        )
    if arguments.case:
        problem = named(arguments.case)
        return "case", [
            Layer(problem.case.name, NamedCase(problem.case.name, problem.algo or "auto"))
        ]
    names = list(dict.fromkeys((*SUITES, kernelbench.NAME, STANDARD, *MODELS)))
    if (arguments.suite is None) == (arguments.shape is None):
        raise ValueError(
            f"name a suite ({', '.join(names)}) or one layer by --shape, such as "
            "n1c64h56w56k64r3s3p1; not both"
        )
    batches = [_positive("--batch", b) for b in (arguments.batch or "").split(",") if b]
    if arguments.shape is not None:
        case = op.parse(arguments.shape)
        cases = [case.with_batch(b) for b in batches] or [case]
        return "shape", [Layer(_name("layer", c, batches), c) for c in cases]
    if arguments.suite == STANDARD:
        standard = [Layer(f"{op.name}, {name}", case) for name, case in op.standard_layers()]
        if not standard:
            raise ValueError(f"suite {STANDARD}: {op.name} is measured on networks instead")
        return STANDARD, standard
    if arguments.suite.endswith(".onnx"):
        return _of_file(Path(arguments.suite), op, batches)
    name = _one_of("suite", arguments.suite, names)
    if name == kernelbench.NAME:
        tasks = [
            Layer(_name(layer.name, layer.case, batches), layer.case)
            for batch in batches or (None,)
            for layer in kernelbench.layers(op.name, batch)
        ]
        if not tasks:
            having = ", ".join(kernelbench.ops())
            raise ValueError(f"suite {name} has no layer of {op.name}; these have: {having}")
        return name, tasks
    layers = [
        Layer(_name(layer.name, layer.case, batches), layer.case, layer.count)
        for batch in batches or [SUITES[name].batch if name in SUITES else 1]
        for layer in _of_network(name, op, batch, arguments.own)
    ]
    if not layers:
        having = ", ".join(s.name for s in SUITES.values() if s.layers(op.name))
        raise ValueError(f"suite {name} has no layer of {op.name}; these have: {having}")
    return name, layers


def _of_file(path: Path, op: Operation, batches: Sequence[int]) -> tuple[str, list[Layer]]:
    """Of an ONNX model, under the name of its file."""
    require_file(path, "model")
    layers = [
        Layer(_name(layer.name, layer.case, batches), layer.case, layer.count)
        for batch in batches or (None,)
        for layer in networks.of_onnx(path, op.name, batch)
    ]
    if not layers:
        raise ValueError(f"{path.name} has no layer of {op.name}; allowed: another --op")
    return path.name, layers


def _of_network(name: str, op: Operation, batch: int, own: Sequence[str]) -> list[Layer]:
    """From the table of a suite, or traced; with arguments of its own always traced."""
    if name in SUITES and not own:
        return SUITES[name].layers(op.name, batch)
    return networks.layers(name, op.name, batch, own)


def _name(name: str, case: Case, batches: Sequence[int]) -> str:
    """Of a layer; with its batch where a run has several."""
    return f"{name} x{case.batch}" if len(batches) > 1 else name


def directions_of(op: Operation, text: str) -> list[str]:
    _one_of("--direction", text, (*DIRECTIONS, "all"))
    directions = DIRECTIONS if text == "all" else (text,)
    offered = [direction for direction in directions if direction in op.directions]
    if not offered:
        raise ValueError(f"--direction {text}: {op.name} has only {', '.join(op.directions)}")
    return offered


def _backends(text: str | None) -> list[str]:
    present = {b.name: b for b in pycnn.backends()}
    order = ("reference", "emulator", "cuda")
    if text is None:
        return [name for name in order if present[name].available]
    names = listed("--backend", text, order)
    for name in names:
        if not present[name].available:
            raise ValueError(f"--backend {name} is not available here: {present[name].detail}")
    return names


def _algorithms(
    text: str | None,
    op: Operation,
    layers: Sequence[Layer],
    directions: Sequence[str],
    dtypes: Sequence[str],
    backends: Sequence[str],
) -> list[str] | None:
    """Those named, each of which a backend must offer for some layer."""
    if text is None:
        return None
    offered = dict.fromkeys(
        name
        for backend in backends or ["emulator"]
        for layer in layers
        for direction in directions
        for dtype in dtypes
        for a in (op.cpu_algorithms if backend == "reference" else op.algorithms)(
            layer.case, direction, dtype
        )
        for name in (a.name, a.chosen)
        if name
    )
    return listed("--algo", text, tuple(offered))


def _one_of(name: str, value: str, allowed: Any) -> str:
    if value not in allowed:
        near = did_you_mean(value, allowed)
        raise ValueError(f"{name} {value!r}; allowed: {', '.join(allowed)}{near}")
    return value


def listed(name: str, text: str, allowed: Any) -> list[str]:
    return [_one_of(name, part.strip(), allowed) for part in text.split(",")]


def _positive(name: str, text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{name} {text!r}; allowed: whole numbers from 1 on, by commas")
    return int(text)
