"""The scripts behind the pages of kernel families: what they call before, after, and whole."""

import json
import re
from pathlib import Path
from statistics import geometric_mean

import pytest

from benchmarks import before_after, triton_facts
from pycnn.bench.calls import described
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES
from pycnn.runtime.target import Target, planned_for

CONV = OPERATIONS["conv2d"]
PREDICTED = Path(before_after.__file__).parent / "results" / "predicted"


def choice(word, dtype):
    definition, call = described(CONV, CONV.parse(word), "forward", dtype, "NHWC")
    return definition.choices(call)[0]


@pytest.mark.parametrize("word", ["n1c64h8w8k64r3s3p1", "n1c64h8w8k64r1s1"])
@pytest.mark.parametrize("mode", ["bfloat16", "tf32"])
def test_before_has_no_tensor_cores_and_after_has(word, mode):
    with planned_for(Target("sm_90a")):
        of = choice(word, before_after.MODES[mode][0])
        assert not before_after.on_tensor_cores(before_after.before(of))
        assert before_after.on_tensor_cores(before_after.after(of, before_after.MODES[mode][2]))


def test_where_the_asked_for_does_not_fit_auto_counts():
    with planned_for(Target("sm_90a")):
        of = choice("n1c30h8w8k8r3s3p1", "float32")
        assert before_after.after(of, ("implicit_gemm_tf32",)).algo == of.plan("auto").algo


def test_means_are_of_whole_networks_alone():
    sides = {"before": {"predicted_us": 8.0}, "after": {"predicted_us": 2.0}}
    rows = [
        {"suite": "resnet50", "batch": 1, "mode": "bfloat16", "shape": str(layer.case),
         "limit_us": 1.0, **sides}
        for layer in SUITES["resnet50"].layers("conv2d", 1)
    ]  # fmt: skip
    (found,) = before_after.means(rows)
    assert found["share_of_limit"] == {"before": pytest.approx(1 / 8), "after": pytest.approx(0.5)}
    assert found["gain"] == pytest.approx(4)
    assert before_after.means(rows[1:]) == []
    rows[0]["after"] = {"predicted_us": None}
    assert before_after.means(rows) == []


@pytest.mark.parametrize("script", [before_after, triton_facts])
def test_what_is_kept_says_that_it_is_predicted(script):
    document = json.loads((PREDICTED / f"{script.__name__.rpartition('.')[2]}.json").read_text())
    assert "PREDICTED" in script.table(document)
    assert len(document["rows"]) > 5


@pytest.mark.parametrize(
    ("file", "mode", "least"),
    [("before_after", "bfloat16", 0.85), ("before_after", "float32", 0.7),
     ("before_after_a100", "bfloat16", 0.6)],
)  # fmt: skip
def test_bounds_are_what_was_asked_for(file, mode, least):
    """Over the layers of both networks at batch 32 and 256; by `mma.sync` on an A100."""
    rows = json.loads((PREDICTED / f"{file}.json").read_text())["rows"]
    of = [r for r in rows if r["mode"] == mode and r["batch"] in (32, 256)]
    assert {(r["suite"], r["batch"]) for r in of} == {
        (suite, batch) for suite in before_after.SUITES_SHOWN for batch in (32, 256)
    }
    shares = [r["limit_us"] / r["after"]["bound_us"] for r in of]
    assert before_after._geometric(shares) >= least


def test_ptx_of_tritons_is_there_for_every_launch():
    launches = json.loads((triton_facts.FOLDER / "launches.json").read_text())
    for name, about in launches.items():
        text = (triton_facts.FOLDER / f"{name}.ptx").read_text()
        assert f".visible .entry {about['entry']}(" in text
        assert "/tmp" not in text
        assert "wgmma.mma_async" in text


@pytest.mark.parametrize("file", sorted(PREDICTED.parent.rglob("*.json")), ids=lambda f: f.stem)
def test_no_result_names_a_place_of_the_machine_it_was_made_on(file):
    texts = re.findall(r'"([^"]*)"', file.read_text())
    assert [text for text in texts if re.search(r" /(?! )", f" {text}")] == []


def test_kernels_that_memory_bounds_come_near_its_speed():
    """The geometric mean over the rows of the page, 16 bits, short launches among them."""
    rows = json.loads((PREDICTED / "bandwidth.json").read_text())["rows"]
    assert geometric_mean(row["shares"]["h200"] for row in rows) >= 0.85
    assert len(rows) >= 89
