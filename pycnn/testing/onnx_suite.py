"""onnx's own runner of tests with pycnn as the backend, and what is left out of it, and why."""

import functools
import os
import re
import unittest
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycnn.onnx.compose import bodies
from pycnn.onnx.operators.registry import table
from pycnn.onnx.package import package

#: Tests of operators that pycnn has, left out: the end of a name, and why.
EXCLUDED = {
    r"test_bernoulli\w*": "draws of NumPy's generator: any others are as right",
    r"test_training_dropout(_default)?(_mask)?": "draws of NumPy's generator: ours is Philox",
    r"test_attention_4d_causal_fp16(_expanded)?": "float16 rounded after every step: 1 ulp",
    r"test_loop16_seq_none": "the runner takes len() of an array without axes",
    r"test_squeezenet": "equal logits near 1e9: softmax shows how BLAS rounds each row",
}

#: Operators that pycnn does not have, and why.
ABSENT = {
    "text": ("StringNormalizer", "StringSplit", "StringConcat", "RegexFullMatch",
             "TfIdfVectorizer"),
    "files of images: pycnn.data reads them": ("ImageDecoder",),
    "classical learning": (
        "ai.onnx.ml.ArrayFeatureExtractor", "ai.onnx.ml.Binarizer", "ai.onnx.ml.LabelEncoder",
        "ai.onnx.ml.TreeEnsemble",
    ),
    "training: pycnn.train": (
        "ai.onnx.preview.training.Adagrad", "ai.onnx.preview.training.Adam",
        "ai.onnx.preview.training.Momentum", "ai.onnx.preview.training.Gradient",
    ),
}  # fmt: skip


@dataclass
class Outcome:
    """What the runner says: names, and for those that failed the last line of the error."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@functools.cache
def cases() -> dict[str, Any]:
    """onnx's cases by name: node tests made now, in some seconds, and those of files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their reference code divides by zero on purpose
        load = package("onnx.backend.test.loader").load_model_tests
        kinds = "node", "simple", "pytorch-converted", "pytorch-operator", "real"
        return {case.name: case for kind in kinds for case in load(kind=kind)}


def model_of(case: Any) -> Any:
    """The model of a case, which may be in a file."""
    if case.model is not None:
        return case.model
    if case.model_dir is not None:
        return package().load(Path(case.model_dir) / "model.onnx")
    return package().load(Path(package().__file__).parent.parent / case.url)


def types_of(model: Any) -> set[str]:
    """The operator types of a model, ``domain.type`` of those that are not ONNX's own."""
    return set(_types(model.graph.node))


def _types(nodes: Any) -> Any:
    for node in nodes:
        yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for body in bodies(node):
            yield from _types(body.node)


def excluded(name: str) -> str | None:
    """Why a test is left out, or None."""
    return next((why for what, why in EXCLUDED.items() if re.fullmatch(what, name)), None)


def absent(model: Any) -> set[str]:
    """Its operators that are in `ABSENT`."""
    return types_of(model) & {name for names in ABSENT.values() for name in names}


def wanted() -> list[str]:
    """The tests of operators that pycnn has, those left out too."""
    return [name for name, case in cases().items() if not absent(model_of(case))]


def runs_kernels(name: str) -> bool:
    """Whether a test has an operator that calls pycnn's operations."""
    kernels = {kind for (_, kind), found in table().items() if found[0].kernels}
    return bool(types_of(model_of(cases()[name])) & kernels)


def run(names: list[str], folder: Path, device: str = "CPU") -> Outcome:
    """Run tests by onnx's runner; it writes inputs of whole networks to `folder`."""
    from pycnn.onnx.backend import Backend

    os.environ["ONNX_MODELS"] = str(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = package("onnx.backend.test").BackendTest(Backend, __name__)
    suffix = f"_{device.lower()}"
    methods = {
        name.removesuffix(suffix): kind(name)
        for kind in runner.test_cases.values()
        for name in unittest.defaultTestLoader.getTestCaseNames(kind)
        if name.endswith(suffix)
    }
    outcome = Outcome()
    for name in names:
        result = unittest.TestResult()
        methods[name].run(result)
        bad = [text for _, text in (*result.errors, *result.failures, *result.skipped)]
        if bad:
            outcome.failed[name] = " ".join(bad[0].split())[-400:]
        else:
            outcome.passed.append(name)
    return outcome


def as_markdown() -> str:
    """The operators, how many tests each takes part in, and what is left out."""
    names = wanted()
    kept = [name for name in names if not excluded(name)]
    of_type: Counter[str] = Counter()
    for name in kept:
        of_type.update(types_of(model_of(cases()[name])))
    out = len(names) - len(kept)
    lines = [
        f"onnx {package().__version__}: {len(cases())} tests, {len(names)} of them of the "
        f"operators below; {len(kept)} pass, {out} are left out ({out / len(names):.1%}).",
        "",
        "| Left out | Tests | Why |",
        "|---|---:|---|",
    ]
    for what, why in EXCLUDED.items():
        count = sum(bool(re.fullmatch(what, name)) for name in names)
        lines.append(f"| `{what}` | {count} | {why} |")
    lines += ["", "| Operator | Opset from | Tests | Computed by |", "|---|---:|---:|---|"]
    for (domain, kind), found in sorted(table().items()):
        by = "kernels" if found[0].kernels else "NumPy or CuPy"
        name = f"{domain}.{kind}" if domain else kind
        lines.append(f"| `{name}` | {found[-1].since} | {of_type.pop(name, 0)} | {by} |")
    for name, count in sorted(of_type.items()):
        lines.append(f"| `{name}` | | {count} | other operators |")
    lines += ["", "Not there:", ""]
    lines += [f"* {why}: {', '.join(f'`{n}`' for n in some)}" for why, some in ABSENT.items()]
    return "\n".join(lines)
